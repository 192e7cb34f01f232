//! `ringfort device`: list, add, drain, remove.

use super::{show, status};
use crate::admin::{AddDevice, AdminClient, DeviceAdded, StatusReply};
use crate::args::{DeviceAction, DeviceArgs, DeviceSpec};
use anyhow::Context;

pub(crate) async fn run(args: &DeviceArgs) -> anyhow::Result<()> {
    match &args.action {
        DeviceAction::List(args) => {
            let reply: StatusReply = AdminClient::new(&args.target.data).get("/v1/status").await?;
            if args.json {
                return show::json(&reply.node.devices);
            }
            println!("{}", status::device_table(&reply.node.devices));
            for line in status::shared_disks(&reply.node.devices) {
                println!("{line}");
            }
        }
        DeviceAction::Add { target, device } => {
            let add = to_wire(device)?;
            let added: DeviceAdded = AdminClient::new(&target.data).post("/v1/devices", &add).await?;
            println!("Device {} is in the ring; data move to it in the background.", added.device);
        }
        DeviceAction::Drain { target, device } => {
            let path = format!("/v1/devices/{device}/drain");
            let () = AdminClient::new(&target.data).post(&path, &()).await?;
            println!(
                "Device {device} drains; `ringfort status` tells how far it is. Then `ringfort device remove`."
            );
        }
        DeviceAction::Remove { target, device, force } => {
            let path = format!("/v1/devices/{device}?force={force}");
            let () = AdminClient::new(&target.data).delete(&path).await?;
            println!("Device {device} is out of the ring.");
        }
    }
    Ok(())
}

/// A device as it goes over the admin socket: the server has another working folder, so the path is absolute.
pub(super) fn to_wire(device: &DeviceSpec) -> anyhow::Result<AddDevice> {
    let DeviceSpec { path, region, zone, node, weight } = device.clone();
    let path = std::path::absolute(&path).context("the device's path")?;
    let path = path.into_os_string().into_string().ok().context("the device's path is not UTF-8")?;
    Ok(AddDevice { path, region, zone, node, weight })
}

//! `ringfort device`: list, add, drain, remove.

use super::{ring, show, status};
use crate::admin::{AddDevice, AdminClient, DeviceAdded, StatusReply};
use crate::args::{DeviceAction, DeviceArgs, DeviceSpec, RingChange};
use anyhow::Context;
use ringfort_storage_node::shared_disks;

pub(crate) async fn run(args: &DeviceArgs) -> anyhow::Result<()> {
    match &args.action {
        DeviceAction::List(args) => {
            let reply: StatusReply = AdminClient::new(&args.target.data).get("/v1/status").await?;
            if args.json {
                return show::json(&reply.node.devices);
            }
            say!("{}", status::device_table(&reply.node.devices));
            for device in &reply.node.devices {
                if let Some(reason) = &device.reason {
                    say!("Device {} is {}: {reason}.", device.id, device.health);
                }
            }
            for line in shared_disks(&reply.node.devices) {
                say!("{line}");
            }
        }
        DeviceAction::Add { target, device } => {
            let change = RingChange { add: Some(device.clone()), drain: None };
            ring::print_plan(&ring::plan(target, &change).await?);
            let add = to_wire(device)?;
            let added: DeviceAdded = AdminClient::new(&target.data).post("/v1/devices", &add).await?;
            say!("\nDevice {} is in the ring; data move to it in the background.", added.device);
        }
        DeviceAction::Drain { target, device } => {
            let change = RingChange { add: None, drain: Some(*device) };
            ring::print_plan(&ring::plan(target, &change).await?);
            let path = format!("/v1/devices/{device}/drain");
            let () = AdminClient::new(&target.data).post(&path, &()).await?;
            say!(
                "\nDevice {device} drains; `ringfort status` tells how far it is. Then `ringfort device remove`."
            );
        }
        DeviceAction::Remove { target, device, force } => {
            if *force {
                // One that was drained gives nothing; a lost one has its share rebuilt from the others.
                let change = RingChange { add: None, drain: Some(*device) };
                match ring::plan(target, &change).await {
                    Ok(plan) => ring::print_plan(&plan),
                    // What keeps a plan from being made need not keep a lost device from being removed.
                    Err(error) => say!("There is no plan to show: {error:#}."),
                }
                say!("");
            }
            let path = format!("/v1/devices/{device}?force={force}");
            let () = AdminClient::new(&target.data).delete(&path).await?;
            say!("Device {device} is out of the ring.");
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

//! `ringfort ring`: show it, plan a change, hold or take back one.

use super::{device, show};
use crate::admin::{AdminClient, DeviceAdded, PlanChange};
use crate::args::{RingAction, RingArgs, RingChange, Target};
use ringfort_storage_node::{RingPlan, RingView};

pub(crate) async fn run(args: &RingArgs) -> anyhow::Result<()> {
    match &args.action {
        RingAction::Show(args) => {
            let view: RingView = AdminClient::new(&args.target.data).get("/v1/ring").await?;
            if args.json {
                return show::json(&view);
            }
            print_view(&view);
        }
        RingAction::Plan { show: args, change } => {
            let plan = plan(&args.target, change).await?;
            if args.json {
                return show::json(&plan);
            }
            print_plan(&plan);
        }
        RingAction::Apply { target, change } => apply(target, change).await?,
        RingAction::Pause(target) => act(target, "pause", "Data movement is paused.").await?,
        RingAction::Resume(target) => act(target, "resume", "Data move again.").await?,
        RingAction::Revert(target) => act(target, "revert", "The ring change is taken back.").await?,
    }
    Ok(())
}

pub(super) async fn plan(target: &Target, change: &RingChange) -> anyhow::Result<RingPlan> {
    let add = change.add.as_ref().map(device::to_wire).transpose()?;
    let change = PlanChange { add, drain: change.drain };
    AdminClient::new(&target.data).post("/v1/ring/plan", &change).await
}

/// Shows the plan, then makes the change it is of. What an earlier change left to do goes on by itself.
async fn apply(target: &Target, change: &RingChange) -> anyhow::Result<()> {
    print_plan(&plan(target, change).await?);
    let client = AdminClient::new(&target.data);
    if let Some(spec) = &change.add {
        let added: DeviceAdded = client.post("/v1/devices", &device::to_wire(spec)?).await?;
        say!(
            "\nThe change is in force: device {} is in the ring; data move in the background.",
            added.device
        );
    } else if let Some(device) = change.drain {
        let () = client.post(&format!("/v1/devices/{device}/drain"), &()).await?;
        say!("\nThe change is in force: device {device} drains in the background.");
    } else {
        say!("\nNothing to apply: give --add or --drain.");
    }
    Ok(())
}

async fn act(target: &Target, action: &str, done: &str) -> anyhow::Result<()> {
    let () = AdminClient::new(&target.data).post(&format!("/v1/ring/{action}"), &()).await?;
    say!("{done}");
    Ok(())
}

fn print_view(view: &RingView) {
    let moving = match view.previous {
        Some(previous) if view.paused => format!(", paused on the way from epoch {previous}"),
        Some(previous) => format!(", data still move from epoch {previous}"),
        None => String::new(),
    };
    say!("Ring epoch {}, {} partitions{moving}\n", view.epoch, view.partitions);
    let rows = view.policies.iter().flat_map(|policy| {
        let row = |(device, places): &(u32, u64)| {
            vec![policy.policy.clone(), device.to_string(), places.to_string()]
        };
        policy.devices.iter().map(row)
    });
    say!("{}", show::table(&["Policy", "Device", "Places"], &[1, 2], rows));
}

pub(super) fn print_plan(plan: &RingPlan) {
    let (bytes, eta) = (show::bytes(plan.bytes), show::span(plan.eta_s));
    say!("Epoch {} would move {bytes}, in about {eta}.", plan.epoch);
    for reason in &plan.reasons {
        say!("  - {reason}");
    }
    for policy in &plan.policies {
        say!("\n{}: {} of {} places move", policy.policy, policy.moves, policy.places);
        let rows = policy.devices.iter().map(|device| {
            vec![device.device.to_string(), device.takes.to_string(), device.gives.to_string()]
        });
        say!("{}", show::table(&["Device", "Takes", "Gives"], &[0, 1, 2], rows));
    }
}

//! A whole node on temporary folders: first start, restart, lost and wiped devices, ring changes, garbage, orphans, damage.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod rig;

use rig::{Rig, body, eventually, node_config, remove_contents};
use ringfort_core::{DeviceId, ErrorKind};
use ringfort_storage_client::ChunkError;
use ringfort_storage_node::{DeviceConfig, NodeError, NodeStatus, SafetyLevel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_kept_and_found_again() {
    let mut rig = Rig::start(4, &["replicated:3", "erasure:2+1"]).await;
    rig.write_some(10, 0, 60_000).await;
    rig.write_some(10, 1, 60_000).await;
    let cluster = rig.node().status().await.cluster;
    rig.eventually_safe().await;
    let session = rig.node().meta().session();
    rig.restart().await;
    let status = rig.node().status().await;
    assert_eq!(status.cluster, cluster);
    assert_eq!(status.devices.len(), 4);
    assert!(status.groups.iter().all(|group| group.devices.len() == 3), "{:?}", status.groups);
    assert_eq!(status.devices[0].shares_disk_with, [2, 3, 4]);
    assert!(rig.node().meta().session() > session);
    rig.read_all().await;
    rig.eventually_safe().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_belong_elsewhere_are_refused() {
    let mut rig = Rig::start(1, &["replicated:1"]).await;
    let device = rig.device_path(1);
    rig.stop().await;
    let other = tempfile::tempdir().unwrap();
    let open = |device: &std::path::Path| {
        let config = node_config(other.path(), vec![DeviceConfig::new(device)], &["replicated:1"]);
        rig::open(config)
    };
    // As far as this folder can tell, it may have lost its own identity.
    let error = open(&device).await.err().unwrap();
    assert!(matches!(error, NodeError::IdentityMissing { .. }), "{error}");

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("diary.txt"), "dear diary").unwrap();
    let error = open(foreign.path()).await.err().unwrap();
    assert!(matches!(error, NodeError::NotADevice { .. }), "{error}");
    assert_eq!(std::fs::read_dir(foreign.path()).unwrap().count(), 1);

    let config =
        node_config(other.path(), vec![DeviceConfig::new(other.path().join("d"))], &["replicated:3"]);
    let error = rig::open(config).await.err().unwrap();
    assert!(matches!(error, NodeError::Ring { .. }) && error.to_string().contains("replicated:3"), "{error}");

    let identity = device.join("device.json");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replace("\"format\": 1", "\"format\": 7")).unwrap();
    let error = rig.try_open().await.err().unwrap();
    assert!(matches!(error, NodeError::NewerFormat { found: 7, .. }), "{error}");
    std::fs::write(&identity, text).unwrap();
    rig.reopen().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_device_is_made_whole_again() {
    for (policy, pieces) in [("replicated:3", 25 * 3), ("erasure:2+2", 25 * 4)] {
        let mut rig = Rig::start(4, &[policy]).await;
        rig.write_some(25, 0, 70_000).await;
        // A device that was slow may have had a stand-in, which still has what it took.
        let all_there =
            |status: &NodeStatus| status.devices.iter().map(|device| device.chunks).sum::<u64>() == pieces;
        rig.until("every piece is there, once", all_there).await;
        rig.eventually_safe().await;
        assert!(rig.node().status().await.devices[1].chunks > 0);
        remove_contents(&rig.device_path(2));
        rig.until("the device is formatted anew", |status| {
            status.devices[1].incarnation == 2 && status.devices[1].health == "in-service"
        })
        .await;
        rig.read_all().await;
        rig.until("the pieces and voters are back", |status| {
            all_there(status) && status.groups.iter().all(|g| g.quorum && g.devices.len() == 3)
        })
        .await;
        rig.eventually_safe().await;
        // Whole: any other device may go now.
        remove_contents(&rig.device_path(1));
        rig.read_all().await;
        rig.eventually_safe().await;
        rig.restart().await;
        rig.read_all().await;
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_wiped_while_the_node_is_down_is_made_whole_again() {
    let mut rig = Rig::start(4, &["replicated:3"]).await;
    rig.write_some(10, 0, 70_000).await;
    rig.stop().await;
    std::fs::remove_dir_all(rig.device_path(3)).unwrap();
    rig.reopen().await;
    rig.read_all().await;
    rig.until("the device is formatted anew", |status| status.devices[2].incarnation == 2).await;
    rig.eventually_safe().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_files_that_go_while_their_device_stays_are_made_anew() {
    let mut rig = Rig::start(4, &["replicated:3"]).await;
    rig.write_some(10, 0, 70_000).await;
    rig.eventually_safe().await;
    // The store goes, the identity stays: never opened as an empty device of the same incarnation.
    std::fs::remove_dir_all(rig.device_path(2).join("store")).unwrap();
    rig.until("device 2 is formatted anew", |status| status.devices[1].incarnation == 2).await;
    rig.eventually_safe().await;
    // A removal that did not get everything.
    std::fs::remove_file(rig.device_path(4).join("device.json")).unwrap();
    std::fs::remove_file(rig.device_path(4).join("store/log/FORMAT")).unwrap();
    std::fs::write(rig.device_path(4).join("store/log/remains"), "x").unwrap();
    rig.until("device 4 is formatted anew", |status| status.devices[3].incarnation == 2).await;
    assert!(rig.device_path(4).join("store.left-1/log/remains").exists(), "set aside, not deleted");
    rig.eventually_safe().await;
    rig.stop().await;
    std::fs::remove_dir_all(rig.device_path(1).join("store")).unwrap();
    rig.reopen().await;
    rig.until("device 1 is formatted anew", |status| status.devices[0].incarnation == 2).await;
    rig.eventually_safe().await;
    rig.read_all().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_is_rebuilt_and_its_voters_renewed() {
    let mut rig = Rig::start(3, &["replicated:3"]).await;
    rig.write_some(10, 0, 70_000).await;
    rig.eventually_safe().await;
    rig.stop().await;
    remove_contents(&rig.device_path(3).join("store/index"));
    rig.reopen().await;
    rig.read_all().await;
    rig.until("the voters are back", |status| {
        status.groups.iter().all(|group| group.quorum && group.devices.len() == 3)
    })
    .await;
    rig.eventually_safe().await;
    let status = rig.node().status().await;
    assert_eq!((status.devices[2].incarnation, status.devices[2].chunks), (1, 10), "nothing was copied");
    // The renewed voters count: another device may go.
    rig.stop().await;
    std::fs::remove_dir_all(rig.device_path(1)).unwrap();
    rig.reopen().await;
    rig.eventually_safe().await;
    rig.read_all().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_come_and_go() {
    let mut rig = Rig::start(3, &["replicated:2"]).await;
    rig.write_some(30, 0, 50_000).await;
    let plan = rig.node().plan_add(DeviceConfig::new(rig.new_path("extra"))).await.unwrap();
    assert!(plan.policies[0].moves > 0 && !plan.reasons.is_empty(), "{plan:?}");
    let added = rig.node().add_device(DeviceConfig::new(rig.new_path("extra"))).await.unwrap();
    assert_eq!(added, DeviceId(4));
    rig.read_all().await;
    rig.until("data moved to the new device", |status| {
        status.rebalance.is_none() && status.devices[3].chunks > 0
    })
    .await;
    rig.read_all().await;
    assert_eq!(rig.pieces(), 60, "two copies of each, none out of place");

    let refused = rig.node().remove_device(DeviceId(1), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    rig.node().drain_device(DeviceId(1)).await.unwrap();
    rig.write_some(5, 0, 50_000).await;
    eventually("the device is empty", async || rig.node().remove_device(DeviceId(1), false).await.is_ok())
        .await;
    rig.read_all().await;
    let status = rig.node().status().await;
    assert_eq!(status.devices.iter().map(|device| device.id).collect::<Vec<_>>(), [2, 3, 4]);
    eventually("voters left the device", async || {
        let groups = rig.node().status().await.groups;
        groups.iter().all(|group| group.quorum && group.devices.len() == 3 && !group.devices.contains(&1))
    })
    .await;
    rig.eventually_safe().await;
    rig.restart().await;
    rig.read_all().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_change_is_paused_and_taken_back() {
    let mut rig = Rig::start(4, &["replicated:2"]).await;
    rig.write_some(20, 0, 50_000).await;
    assert!(rig.node().ring_pause().await.is_err());
    rig.directory.hold_pages(true);
    rig.node().drain_device(DeviceId(2)).await.unwrap();
    rig.node().ring_pause().await.unwrap();
    assert!(rig.node().status().await.rebalance.unwrap().paused);
    assert!(rig.node().drain_device(DeviceId(3)).await.is_err(), "one change at a time");
    rig.directory.hold_pages(false);
    rig.read_all().await;
    rig.node().ring_resume().await.unwrap();
    rig.directory.hold_pages(true);
    rig.node().ring_revert().await.ok();
    rig.directory.hold_pages(false);
    rig.until("the ring is at rest", |status| status.rebalance.is_none()).await;
    rig.read_all().await;
    assert_eq!(rig.pieces(), 40);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_collected_and_nothing_else() {
    let mut rig = Rig::start(3, &["replicated:2"]).await;
    rig.write_some(20, 0, 40_000).await;
    let condemned = rig.condemn(7);
    eventually("the condemned blobs are confirmed", async || rig.directory.condemned_count() == 0).await;
    assert_eq!(rig.pieces(), 26);
    rig.read_all().await;
    for (blob, len) in condemned {
        let policy = rig.node().policies()[0].clone();
        let error = rig.node().chunks().read_chunk(&policy, blob, 0, len, 0..len).await.unwrap_err();
        assert!(matches!(error, ChunkError::Missing { .. }), "{error}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_of_ended_sessions_go_and_those_of_living_ones_stay() {
    let mut rig = Rig::start(3, &["replicated:2"]).await;
    rig.write_some(5, 0, 40_000).await;
    rig.write_uncommitted(4, 40_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(rig.pieces(), 18, "their writer may still commit them");
    rig.restart().await;
    rig.write_uncommitted(2, 40_000).await;
    eventually("the orphans are gone", async || rig.pieces() == 14).await;
    rig.read_all().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scrub_finds_damage_and_has_it_repaired() {
    let mut rig = Rig::start(3, &["replicated:3"]).await;
    rig.write_some(6, 0, 90_000).await;
    rig.eventually_safe().await;
    let damaged = rig.damage_on(2, 3);
    assert_eq!(damaged, 3);
    rig.node().scrub();
    rig.until("the scrub repaired them", |status| {
        status.scrub.finished_s.is_some() && status.redundancy.repaired >= 3 && status.redundancy.queued == 0
    })
    .await;
    assert_eq!(rig.node().status().await.scrub.damaged, 3);
    // The repaired device alone serves everything.
    remove_contents(&rig.device_path(1));
    rig.read_all().await;
    rig.eventually_safe().await;
    rig.node().scrub();
    eventually("the next scrub is clean", async || {
        let scrub = rig.node().status().await.scrub;
        scrub.finished_s.is_some() && scrub.progress.is_none() && scrub.damaged == 0
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_says_that_it_survives_no_loss() {
    let mut rig = Rig::start(1, &["replicated:1"]).await;
    rig.write_some(3, 0, 40_000).await;
    rig.eventually_safe().await;
    let status = rig.node().status().await;
    assert_eq!(status.safety.level, SafetyLevel::Safe);
    assert!(status.safety.reasons.iter().any(|reason| reason.contains("no device")), "{:?}", status.safety);
    assert_eq!((status.policies[0].f, status.policies[0].domain.as_str()), (0, "none"));
    assert_eq!(body(1, 10), body(1, 10));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_devices_lost_than_data_survive_are_waited_for() {
    let mut rig = Rig::start(5, &["replicated:2"]).await;
    rig.write_some(40, 0, 30_000).await;
    rig.eventually_safe().await;
    let away = |rig: &Rig, device: u32| {
        std::fs::rename(rig.device_path(device), rig.new_path(&format!("away{device}"))).unwrap();
    };
    let back = |rig: &Rig, device: u32| {
        std::fs::rename(rig.new_path(&format!("away{device}")), rig.device_path(device)).unwrap();
    };
    let waits = |status: &ringfort_storage_node::NodeStatus, device: usize| {
        let reason = status.devices[device - 1].reason.as_deref().unwrap_or_default();
        reason.contains("wait") || reason.contains("quorum")
    };
    away(&rig, 2);
    away(&rig, 4);
    rig.until("both are waited for", |status| waits(status, 2) && waits(status, 4)).await;
    back(&rig, 2);
    back(&rig, 4);
    rig.eventually_safe().await;
    let status = rig.node().status().await;
    assert!(status.devices.iter().all(|device| device.incarnation == 1), "{:?}", status.devices);
    rig.read_all().await;

    // By order one of them is made anew; what both held is on the other, which returns.
    away(&rig, 2);
    away(&rig, 4);
    rig.until("both are waited for", |status| waits(status, 2) && waits(status, 4)).await;
    let anew = rig.node().add_device(DeviceConfig::new(rig.device_path(2))).await.unwrap();
    assert_eq!(anew, DeviceId(2));
    back(&rig, 4);
    rig.eventually_safe().await;
    let status = rig.node().status().await;
    let incarnations: Vec<u64> = status.devices.iter().map(|device| device.incarnation).collect();
    assert_eq!(incarnations, [1, 2, 1, 1, 1]);
    rig.read_all().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stand_ins_hold_is_not_missing() {
    let mut rig = Rig::start(4, &["replicated:2"]).await;
    rig.write_some(20, 0, 30_000).await;
    rig.eventually_safe().await;
    rig.stop().await;
    // Not blank, so it is left alone and stays away.
    remove_contents(&rig.device_path(3));
    std::fs::write(rig.device_path(3).join("diary.txt"), "dear diary").unwrap();
    rig.reopen().await;
    let covered = |status: &ringfort_storage_node::NodeStatus| {
        status.redundancy.checked && status.redundancy.missing == 0 && status.redundancy.progress.is_none()
    };
    rig.until("stand-ins hold it", |status| covered(status) && status.redundancy.repaired > 0).await;
    for _ in 0..3 {
        rig.node().repair();
        rig.until("the next pass finds it there", covered).await;
    }
    rig.read_all().await;
    rig.stop().await;
}

//! Sub-resources that nothing sets.

use crate::client::World;

#[tokio::test]
async fn reads_say_that_nothing_is_set_and_removing_is_done() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    for (target, outcome, holds) in [
        ("/box?tagging", (404, "NoSuchTagSet"), ""),
        ("/box?policy", (404, "NoSuchBucketPolicy"), ""),
        ("/box?policyStatus", (404, "NoSuchBucketPolicy"), ""),
        ("/box?cors", (404, "NoSuchCORSConfiguration"), ""),
        ("/box?lifecycle", (404, "NoSuchLifecycleConfiguration"), ""),
        ("/box?website", (404, "NoSuchWebsiteConfiguration"), ""),
        ("/box?encryption", (404, "ServerSideEncryptionConfigurationNotFoundError"), ""),
        ("/box?replication", (404, "ReplicationConfigurationNotFoundError"), ""),
        ("/box?object-lock", (404, "ObjectLockConfigurationNotFoundError"), ""),
        ("/box?publicAccessBlock", (404, "NoSuchPublicAccessBlockConfiguration"), ""),
        ("/box?ownershipControls", (404, "OwnershipControlsNotFoundError"), ""),
        ("/box?accelerate", (200, ""), "<AccelerateConfiguration xmlns="),
        ("/box?logging", (200, ""), "<BucketLoggingStatus xmlns="),
        ("/box?notification", (200, ""), "<NotificationConfiguration xmlns="),
        ("/box?requestPayment", (200, ""), "<Payer>BucketOwner</Payer>"),
        ("/box?location", (200, ""), "<LocationConstraint xmlns="),
        ("/box?versioning", (200, ""), "<VersioningConfiguration xmlns="),
        ("/box?acl", (200, ""), "<Permission>FULL_CONTROL</Permission>"),
        ("/box/key?acl", (200, ""), "<Permission>FULL_CONTROL</Permission>"),
        ("/box/key?tagging", (200, ""), "<TagSet></TagSet></Tagging>"),
        ("/box/key?retention", (400, "InvalidRequest"), "Bucket is missing Object Lock Configuration"),
        ("/box/key?legal-hold", (400, "InvalidRequest"), ""),
        ("/box/key?torrent", (501, "NotImplemented"), ""),
        ("/box?analytics", (501, "NotImplemented"), ""),
        ("/none?tagging", (404, "NoSuchBucket"), ""),
        ("/box/none?tagging", (404, "NoSuchKey"), ""),
        ("/none/key?acl", (404, "NoSuchBucket"), ""),
    ] {
        let answer = world.call("GET", target, &[], "").await;
        assert_eq!(answer.outcome(), (outcome.0, outcome.1.to_owned()), "{target}: {}", answer.text());
        assert!(answer.text().contains(holds), "{target}: {}", answer.text());
    }
    for target in ["/box?tagging", "/box?policy", "/box?lifecycle", "/box?website"] {
        assert_eq!(world.call("DELETE", target, &[], "").await.status, 204, "{target}");
    }
    for target in ["/box?website", "/box?replication", "/box/key?retention"] {
        let set = world.call("PUT", target, &[], "<x/>").await;
        assert_eq!(set.outcome(), (501, "NotImplemented".to_owned()), "{target}");
    }
    // No removal was taken for one of the whole.
    assert_eq!(world.call("GET", "/box/key", &[], "").await.good().text(), "x");
}

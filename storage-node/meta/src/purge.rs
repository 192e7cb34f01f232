//! Purging logs: what is durable in the state and far enough behind the end goes.

use crate::MetaConfig;
use crate::group::Group;
use crate::host::Inner;
use crate::voter::Voter;
use ringfort_engine::GroupLog;
use std::sync::{Arc, Weak};

/// Looks at all voters from time to time. Cancel-safe.
pub(crate) async fn run(inner: Weak<Inner>, config: MetaConfig) {
    loop {
        tokio::time::sleep(config.purge_interval).await;
        let Some(inner) = inner.upgrade() else { return };
        let groups: Vec<Arc<Group>> = inner.groups.read().values().cloned().collect();
        for group in groups {
            for voter in group.voters() {
                let log = voter.engine.group_log(group.id);
                purge(&voter, &log, config.log_tail_bytes).await;
            }
        }
    }
}

/// Purges what may go. openraft purges only what a snapshot covers, so it is told of one first; the state is the snapshot,
/// and this asks for no more than is durable in it.
async fn purge(voter: &Voter, log: &GroupLog, tail_bytes: u64) {
    let behind = voter.recent.lock().index_behind(tail_bytes);
    if let Some(index) = behind {
        voter.purge_to(index);
    }
    let upto = voter.purge_goal().min(voter.state.durable_applied());
    let purged = log.purged().map_or(0, |(index, _)| index);
    if upto <= purged {
        return;
    }
    let asked = async {
        voter.raft.trigger().snapshot().await?;
        voter.raft.trigger().purge_log(upto).await
    };
    if let Err(error) = asked.await {
        tracing::debug!(voter = %voter.id, %error, "a voter that stops purges nothing");
    }
}

//! Several requests in one group commit.

use super::{GROUPS, GroupModel, Run, Waiting, chunk_key, content, wait};
use crate::disk::sim::Draw;
use crate::format::{Owner, Target, chunk};
use crate::queue::{Done, Put, PutMode, Request};
use crate::{EngineError, LogEntry};
use bytes::Bytes;
use ringfort_core::GroupId;
use std::sync::Arc;

impl Run {
    /// Requests that the writer gets at once: it is held up by the disk until all are queued.
    pub(super) fn together(&mut self, seed: u64, count: u64, checkpoint: bool) -> Result<bool, String> {
        let mut draw = Draw(seed);
        let mut ahead: Vec<GroupModel> = (0..GROUPS.len()).map(|number| self.group(number)).collect();
        let mut waiting = Vec::new();
        let disk = self.disk.clone();
        let stalled = disk.stall();
        for _ in 0..count {
            let (answer, result) = crossbeam_channel::bounded(1);
            let done: Done = Box::new(move |outcome| drop(answer.send(outcome)));
            let request = self.submit(&mut draw, &mut ahead, done);
            waiting.push((request, result));
        }
        let mut failed = checkpoint && wait(self.engine().checkpoint()).is_err();
        drop(stalled);
        for (request, result) in waiting {
            let result = result.recv().unwrap_or(Err(EngineError::Closed));
            failed |= self.conclude(request, result)?;
        }
        Ok(failed)
    }

    pub(super) fn submit(&mut self, draw: &mut Draw, ahead: &mut [GroupModel], done: Done) -> Waiting {
        let inner = Arc::clone(self.engine().inner());
        let key = chunk_key(draw.below(5) as u8, draw.below(2) as u32);
        let number = draw.below(GROUPS.len() as u64) as usize;
        let log = self.engine().group_log(GroupId(GROUPS[number]));
        let model = &mut ahead[number];
        self.serial += 1;
        match draw.below(10) {
            0..3 => {
                let (body, replace) = (content(self.serial, draw.below(3000) as usize), draw.below(4) == 0);
                inner.submit(Request::Put(Box::new(Put {
                    key,
                    owner: Owner::Chunk(*blake3::hash(&body).as_bytes()),
                    mode: if replace { PutMode::Replace } else { PutMode::New },
                    table: chunk::table(&key, &body),
                    body_len: body.len() as u32,
                    body: vec![body.clone()],
                    done,
                })));
                return Waiting::Put { key, body, replace };
            }
            3..5 => {
                let whole = draw.below(2) == 0;
                let target = if whole { Target::Blob(key.blob) } else { Target::Piece(key) };
                inner.submit(Request::Delete { target, done });
                return Waiting::Delete { key, whole };
            }
            5 => {
                let vote = content(self.serial, 24);
                log.save_vote(vote.clone(), done);
                model.vote = Some(vote);
            }
            6 => {
                let applied = self.engine().group_state(log.group()).applied();
                let from = model.next().saturating_sub(1 + draw.below(2)).max(applied + 1);
                log.truncate_from(from, done);
                model.entries.retain(|index, _| *index < from);
            }
            7 if self.purgeable(number) > model.purged => {
                let upto = self.engine().group_state(log.group()).durable_applied();
                log.purge_to(upto, Bytes::copy_from_slice(&upto.to_be_bytes()), done);
                model.entries.retain(|index, _| *index > upto);
                model.purged = Some(upto);
            }
            _ => {
                let (index, payload) = (model.next(), content(self.serial, 64 + draw.below(2000) as usize));
                log.append(vec![LogEntry { index, term: 1, payload: vec![payload.clone()] }], done);
                model.entries.insert(index, payload);
            }
        }
        Waiting::Log { number, after: vec![model.clone()] }
    }

    /// Up to where a log may be purged, if there is anything.
    fn purgeable(&self, number: usize) -> Option<u64> {
        let upto = self.engine().group_state(GroupId(GROUPS[number])).durable_applied();
        (upto > 0).then_some(upto)
    }
}

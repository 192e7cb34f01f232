//! The steps of a history: each does something to the engine, and tells the model what may be there then.

use super::{GROUPS, GroupModel, Outcome, Run, Seen, StateModel, Waiting, called, content, inline_key, wait};
use crate::{EngineError, IoClass, LogEntry, SnapshotItem, StateBatch};
use bytes::Bytes;
use ringfort_core::{ChunkKey, GroupId};
use std::collections::BTreeMap;

impl Run {
    pub(super) fn put(&mut self, key: ChunkKey, len: usize, replace: bool) -> Result<bool, String> {
        self.serial += 1;
        let body = content(self.serial, len % 9000);
        let pieces = vec![body.slice(..body.len() / 3), body.slice(body.len() / 3..)];
        let result = if replace {
            wait(self.engine().replace_chunk(key, pieces))
        } else {
            wait(self.engine().put_chunk(key, pieces, IoClass::Client))
        };
        self.conclude(Waiting::Put { key, body, replace }, result)
    }

    pub(super) fn delete(&mut self, key: ChunkKey, whole: bool) -> bool {
        let result = if whole {
            wait(self.engine().delete_blob(key.blob))
        } else {
            wait(self.engine().drop_chunk(key))
        };
        self.conclude(Waiting::Delete { key, whole }, result).expect("a delete has no wrong answer")
    }

    /// Takes note of an answer; says whether it was one of a device that failed.
    pub(super) fn conclude(
        &mut self,
        request: Waiting,
        result: Result<(), EngineError>,
    ) -> Result<bool, String> {
        if matches!(result, Err(EngineError::NoSpace)) && !matches!(request, Waiting::Log { .. }) {
            return Ok(false);
        }
        match request {
            Waiting::Put { key, body, replace } => {
                let before = self.chunks.get(&key).cloned().unwrap_or_else(|| vec![None]);
                match result {
                    Ok(()) if !replace && before != [None] && before != [Some(body.clone())] => {
                        Err("a chunk was overwritten".to_owned())
                    }
                    Ok(()) => {
                        self.chunks.insert(key, vec![Some(body)]);
                        Ok(false)
                    }
                    Err(EngineError::Conflict { .. }) if before != [None] => Ok(false),
                    Err(EngineError::Conflict { .. }) => Err("a conflict with nothing".to_owned()),
                    Err(_) => {
                        let mut may = before;
                        may.push(Some(body));
                        self.chunks.insert(key, may);
                        Ok(true)
                    }
                }
            }
            Waiting::Delete { key, whole } => {
                for (name, may) in &mut self.chunks {
                    if if whole { name.blob == key.blob } else { *name == key } {
                        match result {
                            Ok(()) => *may = vec![None],
                            Err(_) => may.push(None),
                        }
                    }
                }
                Ok(result.is_err())
            }
            Waiting::Log { number, after } => Ok(self.settle(number, result.is_ok(), after)),
        }
    }

    pub(super) fn group(&self, number: usize) -> GroupModel {
        self.groups[number].first().cloned().unwrap_or_default()
    }

    /// Sets what a group's log may be: with an answer just `after`, else anything on the way.
    pub(super) fn settle(&mut self, number: usize, ok: bool, after: Vec<GroupModel>) -> bool {
        if ok {
            self.groups[number] = after.into_iter().next_back().into_iter().collect();
        } else {
            self.groups[number].extend(after);
        }
        !ok
    }

    pub(super) fn append(&mut self, number: usize, count: u64, len: usize) -> Result<bool, String> {
        let mut model = self.group(number);
        let log = self.engine().group_log(GroupId(GROUPS[number]));
        let next = model.next();
        let mut entries = Vec::new();
        let mut after = Vec::new();
        for index in next..next + count {
            self.serial += 1;
            let payload = content(self.serial, 64 + len % 5000);
            entries.push(LogEntry {
                index,
                term: 1,
                payload: vec![payload.slice(..20), payload.slice(20..)],
            });
            model.entries.insert(index, payload);
            after.push(model.clone());
        }
        let result = called(|done| log.append(entries, done));
        Ok(self.settle(number, result.is_ok(), after))
    }

    pub(super) fn truncate(&mut self, number: usize, back: u64) -> bool {
        let mut model = self.group(number);
        let applied = self.engine().group_state(GroupId(GROUPS[number])).applied();
        let Some(last) = model.entries.keys().next_back().copied() else { return false };
        let from = last.saturating_sub(back).max(applied + 1);
        let result =
            called(|done| self.engine().group_log(GroupId(GROUPS[number])).truncate_from(from, done));
        model.entries.retain(|index, _| *index < from);
        self.settle(number, result.is_ok(), vec![model])
    }

    pub(super) fn purge(&mut self, number: usize) -> bool {
        let mut model = self.group(number);
        let id = GroupId(GROUPS[number]);
        let upto = self.engine().group_state(id).durable_applied();
        if upto == 0 || model.purged >= Some(upto) {
            return false;
        }
        let mark = Bytes::copy_from_slice(&upto.to_be_bytes());
        let result = called(|done| self.engine().group_log(id).purge_to(upto, mark, done));
        model.entries.retain(|index, _| *index > upto);
        model.purged = Some(upto);
        self.settle(number, result.is_ok(), vec![model])
    }

    pub(super) fn vote(&mut self, number: usize) -> bool {
        self.serial += 1;
        let mut model = self.group(number);
        let vote = content(self.serial, 24);
        let result =
            called(|done| self.engine().group_log(GroupId(GROUPS[number])).save_vote(vote.clone(), done));
        model.vote = Some(vote);
        self.settle(number, result.is_ok(), vec![model])
    }

    /// Applies the next entry: a record, an inline body that is the entry's tail, and at times the release of an older one.
    pub(super) fn apply(&mut self, number: usize) -> Result<bool, String> {
        let id = GroupId(GROUPS[number]);
        let state = self.engine().group_state(id);
        let index = state.applied() + 1;
        let Some(payload) = self.group(number).entries.get(&index).cloned() else { return Ok(false) };
        let model = &mut self.states[number];
        let mut records = model.history.values().next_back().cloned().unwrap_or_default();
        let mut inline = model.inline.values().next_back().cloned().unwrap_or_default();
        let mut batch = StateBatch::new();
        let key = (index % 7).to_be_bytes();
        batch.put(&key, &payload[..8]);
        records.insert(key.to_vec(), payload[..8].to_vec());
        let offset = 30_u32;
        batch.adopt_inline(inline_key(number, index).blob, index, offset, payload.len() as u32 - offset);
        inline.insert(inline_key(number, index), payload.slice(offset as usize..));
        if index > 3 && index.is_multiple_of(2) {
            batch.release_inline(inline_key(number, index - 3).blob);
            inline.remove(&inline_key(number, index - 3));
        }
        batch.applied(index);
        model.history.insert(index, records);
        model.inline.insert(index, inline);
        Ok(state.write(batch).is_err())
    }

    pub(super) fn view(&mut self, number: usize) -> Outcome {
        let state = self.engine().group_state(GroupId(GROUPS[number]));
        let view = state.snapshot().map_err(|error| format!("view: {error}"))?;
        let model = &self.states[number];
        let records = model.history.get(&view.applied()).cloned().unwrap_or_default();
        let inline = model.inline.get(&view.applied()).cloned().unwrap_or_default();
        self.seen = Some(Seen { view, records, inline });
        Ok(())
    }

    /// Reads the view that was taken earlier: it has to show what was there then.
    pub(super) fn look(&mut self) -> Outcome {
        let Some(Seen { mut view, mut records, mut inline }) = self.seen.take() else { return Ok(()) };
        loop {
            let page = view.next_page(500).map_err(|error| format!("a page of a view: {error}"))?;
            if page.is_empty() {
                break;
            }
            for item in page {
                let expected = match item {
                    SnapshotItem::Record { key, value } => {
                        records.remove(&key[..]).is_some_and(|had| had == value)
                    }
                    SnapshotItem::Inline { blob, body } => inline
                        .remove(&ChunkKey { blob, number: 0, fragment: 0 })
                        .is_some_and(|had| had == body),
                };
                if !expected {
                    return Err("a view shows what was not there when it was taken".to_owned());
                }
            }
        }
        if records.is_empty() && inline.is_empty() {
            Ok(())
        } else {
            Err("a view misses something".to_owned())
        }
    }

    pub(super) fn remove_group(&mut self, number: usize) -> bool {
        let result = wait(self.engine().remove_group(GroupId(GROUPS[number])));
        let ok = result.is_ok();
        if ok {
            self.states[number] = StateModel::default();
        } else {
            // Gone or not; either way the state may be empty.
            self.states[number].history.insert(0, BTreeMap::new());
            self.states[number].inline.insert(0, BTreeMap::new());
            self.states[number].durable = 0;
            self.states[number].removing = true;
        }
        self.settle(number, ok, vec![GroupModel::default()])
    }
}

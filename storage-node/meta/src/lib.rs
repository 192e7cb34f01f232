//! Metadata groups: replicated state machines over slots, on Raft.

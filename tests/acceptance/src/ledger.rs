//! What a client knows it has stored, and what may be there because a reply never came.

use std::collections::BTreeMap;
use std::fmt;

/// A key's state: `None` for not there, else version and length of the body (see [`crate::body_of`]).
pub(crate) type State = Option<(u64, usize)>;

/// Per key the states that the server may answer with: one, after an acknowledged request; more after requests with an unknown
/// outcome.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    keys: BTreeMap<String, Vec<State>>,
    /// Requests sent.
    pub tried: u64,
    /// Requests answered with success.
    pub acknowledged: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Writes tried.
    pub tried: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Keys checked.
    pub checked: u64,
    /// Acknowledged and not there.
    pub lost: Vec<String>,
    /// There with a content that nobody wrote, or there although deleted.
    pub wrong: Vec<String>,
    /// There and not in the listing.
    pub unlisted: Vec<String>,
}

impl Ledger {
    /// A request was answered with success: the key is in this state.
    pub fn acknowledge(&mut self, key: &str, state: State) {
        self.tried += 1;
        self.acknowledged += 1;
        self.keys.insert(key.to_owned(), vec![state]);
    }

    /// A request was sent, and whether it was carried out is unknown.
    pub fn doubt(&mut self, key: &str, state: State) {
        self.tried += 1;
        self.keys.entry(key.to_owned()).or_insert_with(|| vec![None]).push(state);
    }

    /// Takes over what another client knows; the two have different keys.
    pub fn merge(&mut self, other: Self) {
        self.tried += other.tried;
        self.acknowledged += other.acknowledged;
        self.keys.extend(other.keys);
    }

    /// Keys and the states they may be in.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<String, Vec<State>> {
        &self.keys
    }

    /// A tally that has counted the writes and checked nothing yet.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { tried: self.tried, acknowledged: self.acknowledged, ..Tally::default() }
    }
}

impl Tally {
    /// Prints the counts, and fails unless nothing is lost, wrong or unlisted.
    ///
    /// # Panics
    /// If so.
    pub fn assert_clean(&self, what: &str) {
        println!("{what}: {self}");
        let bad = || self.lost.iter().chain(&self.wrong).chain(&self.unlisted).take(10).collect::<Vec<_>>();
        assert!(
            self.lost.is_empty() && self.wrong.is_empty() && self.unlisted.is_empty(),
            "{self}: {:?}",
            bad()
        );
        assert!(self.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tried, acknowledged, checked, lost, wrong, unlisted } = self;
        let (lost, wrong, unlisted) = (lost.len(), wrong.len(), unlisted.len());
        write!(
            f,
            "tried {tried}, acknowledged {acknowledged}, checked {checked}, lost {lost}, wrong {wrong}, \
             unlisted {unlisted}"
        )
    }
}

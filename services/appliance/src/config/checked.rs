//! A value that keeps its fault, so that all faults of a file are told at once instead of the first.

use super::Faults;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

/// A setting that may be missing, right or wrong.
#[derive(Debug)]
pub(crate) struct Checked<T>(Option<Result<T, String>>);

impl<T> Default for Checked<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(input)?;
        Ok(Self(Some(T::deserialize(value).map_err(|error| first_line(&error.to_string())))))
    }
}

impl<T> Checked<T> {
    /// The value, unless it is missing or wrong; a fault goes to `faults` under `name`.
    pub(crate) fn take(self, name: &str, faults: &mut Faults) -> Option<T> {
        self.0?.map_err(|fault| faults.add(name, &fault)).ok()
    }

    /// Like [`Self::take`], and the value must also satisfy `rule`, which `words` describe.
    pub(crate) fn take_if(
        self,
        name: &str,
        faults: &mut Faults,
        words: &str,
        rule: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let value = self.take(name, faults)?;
        if !rule(&value) {
            faults.add(name, words);
            return None;
        }
        Some(value)
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

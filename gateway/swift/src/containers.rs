//! Containers and accounts as this dialect sees them: their records with metadata by name.
//!
//! The object layer keeps one list of named values per container for all dialects. Ours are under the names of their
//! headers (`x-container-meta-*`, `x-container-read`, ...); names of other dialects are left as they are.

use crate::error::Result;
use crate::gateway::SwiftGateway;
use crate::headers::{Kind, Pairs};
use ringfort_object::{ContainerInfo, ObjectError};

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) info: ContainerInfo,
}

impl Container {
    /// What is kept under the name of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        get(&self.info.metadata, name)
    }

    /// User metadata, by the names of its headers.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        user(&self.info.metadata, Kind::Container)
    }
}

/// What is kept under a name.
pub(crate) fn get<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The user metadata among named values.
pub(crate) fn user(pairs: &Pairs, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
    pairs
        .iter()
        .filter(move |(name, _)| name.starts_with(kind.prefix()))
        .map(|(n, v)| (n.as_str(), v.as_str()))
}

/// Sets a name to a value; an empty one removes it.
pub(crate) fn set(pairs: &mut Pairs, name: &str, value: &str) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) if !value.is_empty() => value.clone_into(known),
        Some(_) => pairs.retain(|(known, _)| known != name),
        None if value.is_empty() => {}
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
}

impl SwiftGateway {
    /// A container.
    pub(crate) async fn container(&self, account: &str, name: &str) -> Result<Container> {
        Ok(Container { info: self.inner.objects.container(account, name).await? })
    }

    /// A container, if there is one.
    pub(crate) async fn container_if_any(&self, account: &str, name: &str) -> Result<Option<Container>> {
        match self.inner.objects.container(account, name).await {
            Ok(info) => Ok(Some(Container { info })),
            Err(ObjectError::NoSuchContainer) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_and_removed() {
        let mut pairs: Pairs = vec![("s3:policy".to_owned(), "p".to_owned())];
        set(&mut pairs, "x-container-meta-a", "1");
        set(&mut pairs, "x-container-meta-a", "2");
        set(&mut pairs, "x-container-read", "");
        assert_eq!(user(&pairs, Kind::Container).collect::<Vec<_>>(), [("x-container-meta-a", "2")]);
        set(&mut pairs, "x-container-meta-a", "");
        assert_eq!(pairs, [("s3:policy".to_owned(), "p".to_owned())]);
    }
}

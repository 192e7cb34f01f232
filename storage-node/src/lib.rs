//! A storage node: its devices, its voters, and the reconcilers that keep stored data whole.

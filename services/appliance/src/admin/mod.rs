//! How the operator commands talk to a running `up`: JSON over HTTP/1.1 on a unix socket of mode 0600 in the data folder.
//! Whoever may open the socket may operate the cluster.

mod client;
mod identity;
mod server;
mod socket;
pub(crate) mod wire;

pub(crate) use client::AdminClient;
pub(crate) use identity::IdentityAdmin;
pub(crate) use server::{AdminService, Running};
pub(crate) use socket::bind;
pub(crate) use wire::{AddDevice, DeviceAdded, Endpoint, PlanChange, StatusReply};

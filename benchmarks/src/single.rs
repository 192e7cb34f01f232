//! One cell against a server that somebody else runs.

use crate::args::{Command, LoadArgs, TargetArgs};
use crate::cell::Figures;
use crate::content::{Content, KeyOrder};
use crate::disk;
use crate::load::{self, Load, Outcome};
use crate::sign::Endpoint;
use crate::work::{Place, Work};
use anyhow::{Result, bail, ensure};
use http::{Method, StatusCode};
use std::path::Path;
use std::time::Duration;

/// Seconds a cell lasts when nothing else is said.
const SECONDS_DEFAULT: u64 = 10;
/// Bodies up to this size are always compared with what was stored: it costs the client next to nothing.
pub(crate) const VERIFY_BYTES_MAX: usize = 64 * 1024;
const ONCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the cell and prints its figures.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Put { target, load, size, keys, from } => {
            let place = open(&target, KeyOrder::Scattered)?;
            let work = Work::puts(&place, from, keys, Content::new(size))?;
            measure("put", &target, &place, &work, &load.load(target.watched(), Some(SECONDS_DEFAULT)))
        }
        Command::Get { target, load, size, keys, verify } => {
            let place = open(&target, KeyOrder::Scattered)?;
            let work = Work::gets(&place, keys, Content::new(size), verify || size <= VERIFY_BYTES_MAX)?;
            measure("get", &target, &place, &work, &load.load(target.watched(), Some(SECONDS_DEFAULT)))
        }
        Command::Mixed { target, load, size, keys, requests } => {
            ensure!(keys > 0, "a mix needs stored objects: give --keys");
            let place = open(&target, KeyOrder::Scattered)?;
            let work =
                Work::mixed(&place, keys, keys, requests, Content::new(size), size <= VERIFY_BYTES_MAX)?;
            measure(
                "mixed 70/30",
                &target,
                &place,
                &work,
                &load.load(target.watched(), Some(SECONDS_DEFAULT)),
            )
        }
        Command::List { target, load, keys } => {
            let place = open(&target, KeyOrder::Ascending)?;
            let work = Work::pages(&place, keys)?;
            measure("list", &target, &place, &work, &load.load(target.watched(), Some(SECONDS_DEFAULT)))
        }
        Command::Prefill { target, load, size, keys, ascending } => {
            let order = if ascending { KeyOrder::Ascending } else { KeyOrder::Scattered };
            let place = open(&target, order)?;
            let work = Work::prefill(&place, 0, keys, Content::new(size));
            measure("prefill", &target, &place, &work, &load.load(target.watched(), None))
        }
        Command::Du { target, load, size, keys, folder, settle_seconds } => {
            let settle = Duration::from_secs(settle_seconds);
            du(&target, &load, size, keys, &folder, settle)
        }
        Command::Suite(_) => bail!("the suite is not a single cell"),
    }
}

fn open(target: &TargetArgs, order: KeyOrder) -> Result<Place> {
    let place = target.place(order)?;
    ensure_bucket(&place.endpoint, &place.bucket)?;
    Ok(place)
}

fn measure(name: &str, target: &TargetArgs, place: &Place, work: &Work, load: &Load) -> Result<()> {
    let figures = Figures::new(name, load::run(&place.endpoint, work, load)?);
    print(&figures, target.json)?;
    ensure!(figures.errors == 0, "{} operations failed", figures.errors);
    Ok(())
}

fn print(figures: &Figures, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(figures)?);
    } else {
        println!("{figures}");
    }
    Ok(())
}

fn du(
    target: &TargetArgs,
    load: &LoadArgs,
    size: usize,
    keys: u64,
    folder: &Path,
    settle: Duration,
) -> Result<()> {
    disk::ensure_on_disk(folder)?;
    ensure!(keys > 0, "a share of nothing: give --keys");
    let place = open(target, KeyOrder::Scattered)?;
    let work = Work::prefill(&place, 0, keys, Content::new(size));
    let outcome: Outcome = load::run(&place.endpoint, &work, &load.load(target.watched(), None))?;
    let figures = Figures::new("prefill", outcome);
    print(&figures, target.json)?;
    ensure!(figures.operations == keys, "{} of {keys} objects were stored", figures.operations);
    let bytes = disk::settled_bytes(folder, settle)?;
    if target.json {
        let each = bytes / keys;
        println!(
            "{}",
            serde_json::json!({ "name": "du", "objects": keys, "bytes": bytes, "bytes_per_object": each })
        );
    } else {
        println!("du: {bytes} bytes for {keys} objects, {} bytes each", bytes / keys);
    }
    Ok(())
}

/// Creates `bucket` unless it is there and ours.
pub(crate) fn ensure_bucket(endpoint: &Endpoint, bucket: &str) -> Result<()> {
    let answer = load::once(endpoint, &Method::PUT, &format!("/{bucket}"), ONCE_TIMEOUT)?;
    let ours = answer.status == StatusCode::CONFLICT
        && String::from_utf8_lossy(&answer.complaint).contains("BucketAlreadyOwnedByYou");
    if !answer.status.is_success() && !ours {
        bail!(
            "cannot create bucket {bucket}: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.complaint)
        );
    }
    Ok(())
}

//! Rules of the tree as tests: layering, file sizes, docs. Nothing here is part of the product.

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder of the repository.
///
/// # Errors
/// Never in a checkout.
pub fn root() -> Result<PathBuf> {
    // Asked for when it runs: a cache of builds may be shared by several checkouts.
    let package = std::env::var("CARGO_MANIFEST_DIR").context("cargo says which package a test is of")?;
    let root = Path::new(&package).ancestors().nth(2).context("tests/xtask has two parents")?;
    Ok(root.to_owned())
}

/// Files that git tracks or would track, relative to [`root`].
///
/// # Errors
/// When git cannot be asked.
pub fn files() -> Result<Vec<PathBuf>> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root()?)
        .output()
        .context("git ls-files")?;
    anyhow::ensure!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let text = String::from_utf8(list.stdout).context("file names are UTF-8")?;
    let root = root()?;
    // A file that is deleted but not committed yet is listed and not there.
    Ok(text.split_terminator('\0').map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// A crate of the workspace, with those of its siblings that it uses outside its tests.
#[derive(Clone, Debug)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// Folder relative to [`root`].
    pub folder: String,
    /// Names of the members it depends on, dev-dependencies left out.
    pub uses: Vec<String>,
}

/// The crates of the workspace.
///
/// # Errors
/// When cargo cannot be asked.
pub fn members() -> Result<Vec<Member>> {
    let root = root()?;
    let metadata: Metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .context("cargo metadata")?;
    let names: Vec<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut members = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().context("a manifest has a folder")?;
        let folder = folder.as_std_path().strip_prefix(&root)?.to_string_lossy().into_owned();
        let uses = package
            .dependencies
            .iter()
            .filter(|dependency| {
                dependency.kind != DependencyKind::Development && names.contains(&dependency.name)
            })
            .map(|dependency| dependency.name.clone())
            .collect();
        members.push(Member { name: package.name.to_string(), folder, uses });
    }
    Ok(members)
}

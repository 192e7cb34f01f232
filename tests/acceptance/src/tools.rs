//! Other people's programs, and ways to break disks.

use crate::Keys;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of this package. Not as it was when this was built: checkouts may share their builds.
///
/// # Panics
/// When no cargo runs the test.
#[must_use]
pub fn package_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says which package a test is of").into()
}

/// A program to run to its end.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    shown: OsString,
}

impl Tool {
    /// A run of `program`.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self { command: Command::new(program), shown: program.as_os_str().to_owned() }
    }

    /// A run of a command that was put together elsewhere.
    pub(crate) fn of(command: Command) -> Self {
        let shown = command.get_program().to_owned();
        Self { command, shown }
    }

    /// A command run with root's rights: through sudo, unless we have them.
    pub(crate) fn as_root(program: &str) -> Command {
        if rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("sudo");
        command.args(["-n", program]);
        command
    }

    /// Without settings of the user's, and with `home` as the home.
    #[must_use]
    pub fn clean_home(mut self, home: &Path) -> Self {
        self.command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*");
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| {
            name.to_string_lossy().starts_with("AWS_") || name.to_string_lossy().starts_with("OS_")
        }) {
            self.command.env_remove(name);
        }
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(" ");
        self.shown.push(arg.as_ref());
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(self, args: &[&str]) -> Self {
        args.iter().fold(self, Self::arg)
    }

    /// The credentials as the AWS tools read them, and no settings of the user's.
    #[must_use]
    pub fn aws(mut self, keys: &Keys, home: &Path) -> Self {
        self.command
            .env("AWS_ACCESS_KEY_ID", &keys.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
            .env("AWS_ENDPOINT_URL", &keys.endpoint)
            .env("AWS_REGION", &keys.region)
            .env("AWS_DEFAULT_REGION", &keys.region)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", home.join("no-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", home.join("no-credentials"))
            .env("HOME", home)
            .env("NO_PROXY", "*");
        for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy"] {
            self.command.env_remove(name);
        }
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it and returns its standard output, even if it says that it failed.
    ///
    /// # Errors
    /// When it can't be started, or ended by a signal.
    pub fn run_whatever_comes(mut self) -> Result<String> {
        let shown = self.shown.to_string_lossy().into_owned();
        let output = self.command.output().with_context(|| format!("cannot run {shown}"))?;
        ensure!(output.status.code().is_some(), "{shown}: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and returns its standard output.
    ///
    /// # Errors
    /// When it can't be started or fails, with all it said.
    pub fn run(mut self) -> Result<String> {
        let shown = self.shown.to_string_lossy().into_owned();
        let output = self.command.output().with_context(|| format!("cannot run {shown}"))?;
        run_to_end(&shown, &output)
    }
}

/// The standard output of a finished program.
///
/// # Errors
/// When it failed.
pub fn run_to_end(shown: &str, output: &Output) -> Result<String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{shown}: {}\n{out}\n{err}", output.status);
    Ok(out.into_owned())
}

/// Where `make test` keeps what it installs.
///
/// # Errors
/// When there is no home.
pub fn cache_folder() -> Result<PathBuf> {
    Ok(match std::env::var_os("RINGFORT_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("no HOME")?).join(".cache/ringfort"),
    })
}

/// A program of the Python environment that `make test` makes.
///
/// # Errors
/// When it is not there.
pub fn venv_program(name: &str) -> Result<PathBuf> {
    let path = cache_folder()?.join("venv/bin").join(name);
    ensure!(path.exists(), "{} is missing: `make prepare-test` first", path.display());
    Ok(path)
}

/// Empties a device folder, as a new disk in the place of a lost one is empty.
///
/// # Errors
/// When it can't be read.
pub fn wipe(folder: &Path) -> Result<()> {
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // The running process may remove files of its own at the same time.
        if path.is_dir() {
            fs::remove_dir_all(&path).ok();
        } else {
            fs::remove_file(&path).ok();
        }
    }
    Ok(())
}

/// Flips one bit in every `step` bytes of each file below `folder` that `pick` takes; answers how many.
///
/// # Errors
/// When a file can't be read or written.
pub fn flip_bits(folder: &Path, step: u64, pick: &dyn Fn(&Path) -> bool) -> Result<u64> {
    let mut flipped = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            flipped += flip_bits(&path, step, pick)?;
        } else if pick(&path) {
            let file = File::options().read(true).write(true).open(&path)?;
            let len = file.metadata()?.len();
            let mut at = step / 2;
            while at < len {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                byte[0] ^= 0x10;
                file.write_all_at(&byte, at)?;
                flipped += 1;
                at += step;
            }
        }
    }
    Ok(flipped)
}

/// A small ext4 file system in a file.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    mounted: PathBuf,
}

impl LoopDisk {
    /// Makes and mounts one of `mib` MiB below `folder`. Needs root.
    ///
    /// # Errors
    /// When that is not allowed or a tool is missing.
    pub fn mount(folder: &Path, mib: u64) -> Result<Self> {
        let (image, mounted) = (folder.join("disk.img"), folder.join("disk"));
        File::create(&image)?.set_len(mib << 20)?;
        fs::create_dir_all(&mounted)?;
        Tool::new(Path::new("/sbin/mkfs.ext4")).args(&["-q", "-F", "-m", "0"]).arg(&image).run()?;
        Tool::new(Path::new("mount")).args(&["-o", "loop"]).arg(&image).arg(&mounted).run()?;
        Ok(Self { image, mounted })
    }

    /// Makes the file system fail as it does when its disk fails: writing and syncing are errors from now on.
    ///
    /// # Errors
    /// When the kernel does not do it.
    pub fn fail(&self) -> Result<()> {
        Tool::new(Path::new("mount")).args(&["-o", "remount,abort"]).arg(&self.mounted).run().map(|_| ())
    }

    /// Puts a new, empty disk in its place.
    ///
    /// # Errors
    /// When that is not allowed or a tool is missing.
    pub fn replace(self) -> Result<Self> {
        let folder = self.image.parent().context("an image lies in a folder")?.to_owned();
        let mib = fs::metadata(&self.image)?.len() >> 20;
        drop(self);
        Self::mount(&folder, mib)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Err(error) = Tool::new(Path::new("umount")).arg("-l").arg(&self.mounted).run() {
            eprintln!("{error:#}");
        }
        fs::remove_file(&self.image).ok();
    }
}

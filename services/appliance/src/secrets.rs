//! Secrets at rest: one key file, and files sealed under it.
//!
//! `DIR/keys/master.key` (mode 0600) holds 64 hexadecimal digits, a 256-bit key. A sealed file:
//!
//! ```text
//!  0           8      12       24
//!  +-----------+------+--------+------------------------------+
//!  | RFSEALED  | ver  | nonce  | AES-256-GCM(text) and tag    |
//!  +-----------+------+--------+------------------------------+
//! ```
//!
//! `ver` is 1, little-endian. Bytes 0..12 and the file's name are authenticated too, so that a file can't be put in the
//! place of another. Each writing draws a new nonce.

use crate::data_dir::write_durably;
use crate::words;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use rand::Rng;
use rand::distr::Uniform;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 8] = b"RFSEALED";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 12;
const NONCE_LEN: usize = 12;

/// Why secrets could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error("cannot {what} {path}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} can be read by others (mode {mode:o}): `chmod 600 {path}`", path = path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{path} is damaged: {reason}; put back a copy of it", path = path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error("{path} has format {found}; this program knows formats up to {VERSION}: start a newer one", path = path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error("{path} is missing, and {sealed} was sealed under it: put it back", path = path.display(), sealed = sealed.display())]
    KeyMissing { path: PathBuf, sealed: PathBuf },
    #[error(
        "{path} is missing: put back a copy of it; what was made with it could not be used with a new one",
        path = path.display()
    )]
    Missing { path: PathBuf },
}

/// An S3 access key as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessKey {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// The account (a project) whose buckets it sees.
    pub(crate) account: String,
    pub(crate) owner_id: String,
    pub(crate) owner_name: String,
}

impl Drop for AccessKey {
    fn drop(&mut self) {
        self.secret_key.zeroize();
    }
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// What the identity service keeps secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentitySecrets {
    /// The first password of the user `admin`.
    pub(crate) admin_password: String,
    /// What tokens are sealed under, the one in use first; 64 hexadecimal digits each.
    pub(crate) token_keys: Vec<String>,
    /// What secrets in its database are sealed under.
    pub(crate) secret_key: String,
}

impl Drop for IdentitySecrets {
    fn drop(&mut self) {
        self.admin_password.zeroize();
        self.token_keys.zeroize();
        self.secret_key.zeroize();
    }
}

impl IdentitySecrets {
    /// The secrets in a text as it is sealed.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let secrets: Self = serde_json::from_slice(text).ok()?;
        let is_key = |key: &String| decode_key(key).is_some();
        let good = !secrets.token_keys.is_empty()
            && secrets.token_keys.iter().all(is_key)
            && is_key(&secrets.secret_key);
        good.then_some(secrets)
    }

    fn draw() -> Self {
        let key = || draw_text(64, b"0123456789abcdef");
        Self { admin_password: draw_password(32), token_keys: vec![key()], secret_key: key() }
    }

    /// The keys of tokens, the one in use first.
    pub(crate) fn token_keys(&self) -> Vec<[u8; 32]> {
        self.token_keys.iter().filter_map(|key| decode_key(key)).collect()
    }

    /// The key of secrets in the database.
    pub(crate) fn secret_key(&self) -> [u8; 32] {
        decode_key(&self.secret_key).unwrap_or_default()
    }
}

fn decode_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).ok()?;
    Some(key)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessKeys {
    keys: Vec<AccessKey>,
}

/// The folder of secrets, opened with its key.
pub(crate) struct Secrets {
    dir: PathBuf,
    cipher: Aes256Gcm,
    first_start: bool,
}

impl Secrets {
    /// Opens `data_dir/keys`. What is missing is drawn on the first start, and only then.
    pub(crate) fn open(data_dir: &Path, first_start: bool) -> Result<Self, SecretsError> {
        let dir = data_dir.join("keys");
        let path = dir.join("master.key");
        if first_start {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| SecretsError::Io { what: "make", path: dir.clone(), source })?;
        }
        let key = match fs::read_to_string(&path) {
            Ok(text) => {
                check_mode(&path)?;
                let text = Zeroizing::new(text);
                let mut key = Zeroizing::new([0; 32]);
                hex::decode_to_slice(text.trim_end(), key.as_mut_slice())
                    .map_err(|_| SecretsError::Damaged { path, reason: "it is not 64 hexadecimal digits" })?;
                key
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && first_start => make_key(&dir, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SecretsError::Missing { path });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(SecretsError::Damaged { path, reason: "it is not 64 hexadecimal digits" });
            }
            Err(source) => return Err(SecretsError::Io { what: "read", path, source }),
        };
        Ok(Self { first_start, ..Self::with_key(dir, &key) })
    }

    /// The secrets in `dir`, sealed under `key`.
    pub(crate) fn with_key(dir: PathBuf, key: &[u8; 32]) -> Self {
        Self { dir, cipher: Aes256Gcm::new(key.into()), first_start: false }
    }

    /// The access keys; on the first start a new one for a new account.
    pub(crate) fn access_keys(&self) -> Result<Vec<AccessKey>, SecretsError> {
        let name = "access-keys.sealed";
        if let Some(text) = self.unseal(name)? {
            let damaged =
                |_| SecretsError::Damaged { path: self.dir.join(name), reason: "its content is no key list" };
            return AccessKey::list(&text).map_err(damaged);
        }
        if !self.first_start {
            return Err(SecretsError::Missing { path: self.dir.join(name) });
        }
        let list = AccessKeys { keys: vec![AccessKey::draw()] };
        let text = Zeroizing::new(serde_json::to_vec(&list).expect("keys are JSON"));
        self.seal(name, &text)?;
        Ok(list.keys)
    }

    /// What the identity service keeps secret; drawn when its database is `fresh`, which an older folder's may be too.
    pub(crate) fn identity(&self, fresh: bool) -> Result<IdentitySecrets, SecretsError> {
        let name = "identity.sealed";
        let path = self.dir.join(name);
        if let Some(text) = self.unseal(name)? {
            let damaged =
                || SecretsError::Damaged { path, reason: "its content is not what ringfort sealed" };
            return IdentitySecrets::parse(&text).ok_or_else(damaged);
        }
        if !fresh {
            return Err(SecretsError::Missing { path });
        }
        let secrets = IdentitySecrets::draw();
        self.seal_identity(&secrets)?;
        Ok(secrets)
    }

    /// Puts a new key before those of tokens, of which `kept` stay at most, and answers what is kept now. Blocks.
    pub(crate) fn rotate_token_keys(&self, kept: usize) -> Result<IdentitySecrets, SecretsError> {
        let mut secrets = self.identity(false)?;
        secrets.token_keys.insert(0, draw_text(64, b"0123456789abcdef"));
        for mut old in secrets.token_keys.drain(kept.min(secrets.token_keys.len())..) {
            old.zeroize();
        }
        self.seal_identity(&secrets)?;
        Ok(secrets)
    }

    /// Remembers another first password of the administrator, for `openrc`. Blocks.
    pub(crate) fn set_admin_password(&self, password: String) -> Result<(), SecretsError> {
        let mut secrets = self.identity(false)?;
        secrets.admin_password.zeroize();
        secrets.admin_password = password;
        self.seal_identity(&secrets)
    }

    fn seal_identity(&self, secrets: &IdentitySecrets) -> Result<(), SecretsError> {
        let text = Zeroizing::new(serde_json::to_vec(secrets).expect("secrets are JSON"));
        self.seal("identity.sealed", &text)
    }

    fn seal(&self, name: &str, text: &[u8]) -> Result<(), SecretsError> {
        let path = self.dir.join(name);
        let file = self.sealed(name, text);
        write_durably(&path, &file, 0o600).map_err(|source| SecretsError::Io { what: "write", path, source })
    }

    /// The bytes of the sealed file `name` that holds `text`.
    pub(crate) fn sealed(&self, name: &str, text: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::rng().random();
        let mut file = head().to_vec();
        let aad = [file.as_slice(), name.as_bytes()].concat();
        let sealed = self.cipher.encrypt(Nonce::from_slice(&nonce), Payload { msg: text, aad: &aad });
        file.extend_from_slice(&nonce);
        file.extend_from_slice(&sealed.expect("AES-GCM takes texts below 64 GiB"));
        file
    }

    fn unseal(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
        let path = self.dir.join(name);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SecretsError::Io { what: "read", path, source }),
        };
        self.open_sealed(path, name, &file).map(Some)
    }

    /// The text that was sealed into `file`, which is at `path` under this `name`.
    pub(crate) fn open_sealed(
        &self,
        path: PathBuf,
        name: &str,
        file: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        let damaged = |reason| SecretsError::Damaged { path: path.clone(), reason };
        let (head_met, rest) = file.split_at_checked(HEAD_LEN).ok_or_else(|| damaged("it is too short"))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(|| damaged("it is too short"))?;
        if head_met[..8] != MAGIC[..] {
            return Err(damaged("it does not begin as a sealed file"));
        }
        let found = u32::from_le_bytes([head_met[8], head_met[9], head_met[10], head_met[11]]);
        if found != VERSION {
            return Err(SecretsError::NewerFormat { path, found });
        }
        let aad = [head_met, name.as_bytes()].concat();
        let text = self.cipher.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &aad });
        let text = text.map_err(|_| {
            damaged("it was not sealed under the key in master.key, or one of the two was changed")
        })?;
        Ok(Zeroizing::new(text))
    }
}

impl AccessKey {
    /// The keys of a list as it is sealed.
    pub(crate) fn list(text: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        serde_json::from_slice::<AccessKeys>(text).map(|list| list.keys)
    }

    fn draw() -> Self {
        Self {
            access_key: format!("RF{}", draw_text(18, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
            secret_key: draw_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            account: draw_text(32, b"0123456789abcdef"),
            owner_id: draw_text(64, b"0123456789abcdef"),
            owner_name: "admin".to_owned(),
        }
    }

    /// The file that clients on this host source: `set -a; . DIR/s3.env`. `ca` holds the
    /// certificates to trust.
    pub(crate) fn write_env(
        &self,
        data_dir: &Path,
        endpoint: &str,
        ca: Option<&Path>,
    ) -> Result<(), SecretsError> {
        let path = data_dir.join("s3.env");
        let trust = ca.map(|ca| format!("AWS_CA_BUNDLE={}\n", words::quoted(ca)));
        let text = Zeroizing::new(format!(
            "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\nAWS_ENDPOINT_URL={endpoint}\nAWS_REGION=us-east-1\n{}",
            self.access_key,
            self.secret_key,
            trust.unwrap_or_default(),
        ));
        write_private(path, text.as_bytes())
    }
}

/// Writes a file that nobody else may read. One that says the same is left as it is, so that a restart needs no room on the
/// disk.
pub(crate) fn write_private(path: PathBuf, text: &[u8]) -> Result<(), SecretsError> {
    let same = fs::read(&path).is_ok_and(|there| there == text);
    if same && check_mode(&path).is_ok() {
        return Ok(());
    }
    write_durably(&path, text, 0o600).map_err(|source| SecretsError::Io { what: "write", path, source })
}

/// A password of so many letters and digits.
pub(crate) fn draw_password(len: usize) -> String {
    draw_text(len, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
}

fn head() -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(MAGIC);
    head[8..].copy_from_slice(&VERSION.to_le_bytes());
    head
}

fn make_key(dir: &Path, path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    let io = |what| {
        let path = path.to_owned();
        move |source| SecretsError::Io { what, path, source }
    };
    // A new key can't open old files: better to say so than to make the old ones unreadable for good.
    for entry in fs::read_dir(dir).map_err(io("read the folder of"))? {
        let sealed = entry.map_err(io("read the folder of"))?.path();
        if sealed.extension().is_some_and(|end| end == "sealed") {
            return Err(SecretsError::KeyMissing { path: path.to_owned(), sealed });
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill(key.as_mut_slice());
    let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_slice())));
    write_durably(path, text.as_bytes(), 0o600).map_err(io("write"))?;
    Ok(key)
}

fn check_mode(path: &Path) -> Result<(), SecretsError> {
    let facts = fs::metadata(path);
    let facts = facts.map_err(|source| SecretsError::Io { what: "read", path: path.to_owned(), source })?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open { path: path.to_owned(), mode });
    }
    Ok(())
}

fn draw_text(len: usize, alphabet: &[u8]) -> String {
    let place = Uniform::new(0, alphabet.len()).expect("an alphabet is not empty");
    rand::rng().sample_iter(place).take(len).map(|at| char::from(alphabet[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::open(dir.path(), true).unwrap().access_keys().unwrap();
        let again = Secrets::open(dir.path(), true).unwrap().access_keys().unwrap();
        assert_eq!(
            (&first[0].access_key, &first[0].secret_key),
            (&again[0].access_key, &again[0].secret_key)
        );
        let keys = dir.path().join("keys");
        for name in ["master.key", "access-keys.sealed"] {
            assert_eq!(fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let sealed = fs::read(keys.join("access-keys.sealed")).unwrap();
        assert!(!sealed.windows(8).any(|window| window == &first[0].secret_key.as_bytes()[..8]));
        first[0].write_env(dir.path(), "http://127.0.0.1:9000", Some(Path::new("/a b/ca.pem"))).unwrap();
        let env = fs::read_to_string(dir.path().join("s3.env")).unwrap();
        assert!(env.contains(&format!("AWS_SECRET_ACCESS_KEY={}\n", first[0].secret_key)));
        assert!(env.ends_with("AWS_CA_BUNDLE='/a b/ca.pem'\n"));
        assert_eq!(fs::metadata(dir.path().join("s3.env")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_missing_later_is_told_and_not_drawn_anew() {
        let dir = tempfile::tempdir().unwrap();
        let lost = |error: SecretsError, name: &str| {
            assert!(matches!(&error, SecretsError::Missing { path } if path.ends_with(name)), "{error}");
        };
        lost(Secrets::open(dir.path(), false).err().unwrap(), "master.key");
        assert!(!dir.path().join("keys").exists());
        let keys = Secrets::open(dir.path(), true).unwrap().access_keys().unwrap();
        let again = Secrets::open(dir.path(), false).unwrap().access_keys().unwrap();
        assert_eq!(keys[0].access_key, again[0].access_key);
        let sealed = dir.path().join("keys/access-keys.sealed");
        fs::remove_file(&sealed).unwrap();
        lost(Secrets::open(dir.path(), false).unwrap().access_keys().err().unwrap(), "access-keys.sealed");
        assert!(!sealed.exists());
    }

    #[test]
    fn token_keys_are_rotated_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path(), true).unwrap();
        assert!(matches!(secrets.identity(false), Err(SecretsError::Missing { .. })));
        let first = secrets.identity(true).unwrap();
        assert_eq!(secrets.identity(true).unwrap().admin_password, first.admin_password);
        for count in [2, 3, 3] {
            let rotated = secrets.rotate_token_keys(3).unwrap();
            assert_eq!(rotated.token_keys().len(), count);
            assert_eq!(secrets.identity(false).unwrap().token_keys, rotated.token_keys);
        }
        let last = secrets.identity(false).unwrap();
        assert!(!last.token_keys.contains(&first.token_keys[0]) && last.secret_key == first.secret_key);
    }

    #[test]
    fn any_flipped_bit_and_any_other_key_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        Secrets::open(dir.path(), true).unwrap().access_keys().unwrap();
        let path = dir.path().join("keys/access-keys.sealed");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert!(Secrets::open(dir.path(), true).unwrap().access_keys().is_err(), "byte {at}");
        }
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert!(Secrets::open(dir.path(), true).unwrap().access_keys().is_err(), "cut to {len}");
        }
        fs::write(&path, &good).unwrap();
        let key = dir.path().join("keys/master.key");
        fs::remove_file(&key).unwrap();
        assert!(matches!(Secrets::open(dir.path(), true), Err(SecretsError::KeyMissing { .. })));
        fs::write(&key, "00".repeat(32)).unwrap();
        assert!(matches!(Secrets::open(dir.path(), true), Err(SecretsError::Open { .. })));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Secrets::open(dir.path(), true).unwrap().access_keys().is_err());
    }
}

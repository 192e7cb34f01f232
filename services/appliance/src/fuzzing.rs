//! The decoders on any bytes, for fuzzing: each function panics when a promise is broken.

use crate::admin::wire::{AddDevice, DeviceAdded, Failure, PlanChange, StatusReply};
use crate::args::{Args, DeviceSpec};
use crate::config::{ConfigFile, Faults};
use crate::data_dir::{check_format, format_devices, parse_devices};
use crate::secrets::{AccessKey, Secrets};
use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The settings file: what is wrong with it is told by setting.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(file) = ConfigFile::parse(text) else { return };
    let mut faults = Faults::default();
    let values = file.check(&mut faults);
    let told = faults.into_result().map_err(|faults| faults.to_string());
    assert!(told.is_ok() || told.is_err_and(|told| told.lines().count() > 1), "a fault is told in words");
    assert!(values.port_base.is_none_or(|port| port > 0));
    assert!(values.index_memory_bytes.is_none_or(|bytes| bytes >= 8 << 20));
}

/// What the data folder remembers in plain files.
pub fn data_folder(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = check_format(Path::new("FORMAT"), text);
    if let Ok(devices) = parse_devices(PathBuf::new(), text) {
        let again = parse_devices(PathBuf::new(), &format_devices(&devices));
        assert!(!devices.is_empty());
        // A weight that is no number equals nothing, itself neither.
        if devices.iter().all(|device| !device.weight.is_some_and(f64::is_nan)) {
            assert_eq!(again.expect("what was written is read"), devices);
        }
    }
}

/// Sealed files: the bytes as a file, and as the text of one.
pub fn secrets(bytes: &[u8]) {
    let secrets = Secrets::with_key(PathBuf::new(), &[7; 32]);
    assert!(secrets.open_sealed(PathBuf::new(), "name", bytes).is_err(), "nobody sealed this");
    let file = secrets.sealed("name", bytes);
    let text = secrets.open_sealed(PathBuf::new(), "name", &file).expect("sealed a moment ago");
    assert_eq!(text.as_slice(), bytes);
    assert!(secrets.open_sealed(PathBuf::new(), "another", &file).is_err(), "a name is sealed in");
    let _ = AccessKey::list(bytes);
}

/// The command line, a word for each line, and the devices given on it.
pub fn command_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Args::try_parse_from(std::iter::once("ringfort").chain(text.lines()));
    if let Ok(device) = text.parse::<DeviceSpec>() {
        assert!(device.weight.is_none_or(|weight| weight > 0.0 && weight <= 1000.0));
    }
}

/// Messages of the operator's socket.
pub fn admin(bytes: &[u8]) {
    survives::<AddDevice>(bytes);
    survives::<PlanChange>(bytes);
    survives::<DeviceAdded>(bytes);
    survives::<Failure>(bytes);
    survives::<StatusReply>(bytes);
}

/// What decodes survives its encoding, but for the last digit of a fraction.
fn survives<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(bytes) else { return };
    let once = serde_json::to_vec(&message).expect("a message is JSON");
    let again: T = serde_json::from_slice(&once).expect("what was written is read");
    let value = |message: &T| serde_json::to_value(message).expect("a message is JSON");
    assert!(
        alike(&value(&message), &value(&again)),
        "{} came back otherwise",
        String::from_utf8_lossy(&once)
    );
}

/// Whether two values are equal. The parser of JSON may be wrong in the last bit of a fraction; none here is used to more
/// than a thousandth.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or_default(), other.as_f64().unwrap_or_default());
            (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| alike(value, other)))
        }
        _ => one == other,
    }
}

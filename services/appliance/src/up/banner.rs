//! What `up` prints once it is ready: where to find it, and what to try.

use crate::admin::Endpoint;
use crate::config::Settings;
use std::path::Path;

pub(super) fn print(settings: &Settings, data_dir: &Path, endpoints: &[Endpoint], fresh: bool) {
    let dir = data_dir.display();
    let devices = settings.devices.len();
    let policies: Vec<String> = settings.policies.iter().map(ToString::to_string).collect();
    let made = if fresh { format!("new, policy {}", policies.join(", ")) } else { "opened again".to_owned() };
    println!("\nringfort is ready: {devices} device(s) in {dir} ({made})\n");
    for endpoint in endpoints {
        println!("  {:<8} {}", endpoint.service, endpoint.url);
    }
    println!(
        "\nTry in another shell:\n\n  \
         set -a; . {dir}/s3.env; set +a\n  \
         aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 mb s3://first\n  \
         aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 cp README.md s3://first/\n  \
         ringfort status --data {dir}\n\n\
         Ctrl-C stops it; what is stored stays.\n"
    );
}

//! What `up` prints once it is ready: where to find it, and what to try. The commands work when they are pasted.

use crate::admin::Endpoint;
use crate::data_dir::DataDir;
use crate::words;
use ringfort_storage_node::{NodeStatus, shared_disks};
use std::path::Path;

pub(super) fn print(data_dir: &DataDir, endpoints: &[Endpoint], node: &NodeStatus) {
    let program = std::env::current_exe().unwrap_or_else(|_| "ringfort".into());
    say!("{}", text(data_dir.path(), &program, endpoints, node, data_dir.is_fresh()));
}

fn text(dir: &Path, program: &Path, endpoints: &[Endpoint], node: &NodeStatus, fresh: bool) -> String {
    let policies: Vec<&str> = node.policies.iter().map(|policy| policy.redundancy.as_str()).collect();
    let made = if fresh { "new" } else { "opened again" };
    let mut text = format!(
        "\nringfort is ready: {} device(s), {}, in {} ({made})\n",
        node.devices.len(),
        policies.join(" and "),
        dir.display()
    );
    for line in shared_disks(&node.devices) {
        text.push_str(&format!("{line}\n"));
    }
    text.push('\n');
    for endpoint in endpoints {
        text.push_str(&format!("  {:<8} {}\n", endpoint.service, endpoint.url));
    }
    let (env, openrc) = (words::quoted(&dir.join("s3.env")), words::quoted(&dir.join("openrc")));
    let dir = words::quoted(dir);
    text.push_str(&format!(
        "\nTry in another shell, which gets the access key by the first line:\n\n  \
         set -a; . {env}; set +a\n  \
         aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 mb s3://first\n  \
         aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 cp /etc/os-release s3://first/\n  \
         . {openrc}; openstack catalog list\n  \
         {} status --data {dir}\n\n\
         Ctrl-C stops it; what is stored stays.\n",
        words::quoted(program),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_whatever_the_folder_is_called() {
        let endpoint = Endpoint { service: "s3".to_owned(), url: "http://127.0.0.1:9000".to_owned() };
        let text = text(
            Path::new("/x/it's here"),
            Path::new("/bin/ringfort"),
            &[endpoint],
            &NodeStatus::default(),
            true,
        );
        assert!(text.contains(r"set -a; . '/x/it'\''s here/s3.env'; set +a"), "{text}");
        assert!(text.contains(r"/bin/ringfort status --data '/x/it'\''s here'"), "{text}");
    }
}

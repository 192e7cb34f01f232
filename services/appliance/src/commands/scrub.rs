//! `ringfort scrub`: reads and verifies everything that is stored, with a progress bar.

use crate::admin::{AdminClient, StatusReply};
use crate::args::ScrubArgs;
use indicatif::{ProgressBar, ProgressStyle};
use ringfort_storage_node::ScrubStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn run(args: &ScrubArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.target.data);
    let started_s = now_s();
    let () = client.post("/v1/scrub", &()).await?;
    if args.detach {
        println!("A scrub runs; `ringfort status` tells how far it is.");
        return Ok(());
    }
    let style =
        ProgressStyle::with_template("scrub [{bar:40}] {percent} %  {msg}").expect("a constant template");
    let bar = ProgressBar::new(1000).with_style(style.progress_chars("=> "));
    let last = loop {
        let status: StatusReply = client.get("/v1/status").await?;
        let scrub = status.node.scrub;
        match &scrub.progress {
            Some(progress) => {
                bar.set_position(permille(progress.percent));
                let (checked, damaged) = (scrub.checked, scrub.damaged);
                let eta = progress.eta_s.map(|s| format!(", {s} s to go")).unwrap_or_default();
                bar.set_message(format!("{checked} pieces, {damaged} damaged{eta}"));
            }
            None if scrub.finished_s.is_some_and(|s| s >= started_s) => break scrub,
            None => {}
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    bar.finish_and_clear();
    let ScrubStatus { checked, damaged, .. } = last;
    match damaged {
        0 => println!("{checked} pieces read, all good."),
        _ => println!("{checked} pieces read, {damaged} damaged: repair has them; see `ringfort status`."),
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
fn permille(percent: f64) -> u64 {
    (percent * 10.0).clamp(0.0, 1000.0) as u64
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

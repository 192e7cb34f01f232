//! `ringfort scrub`: reads and verifies everything that is stored, with a progress bar; with a line now and then where there is
//! no terminal to draw it on.

use super::show;
use crate::admin::{AdminClient, StatusReply};
use crate::args::ScrubArgs;
use indicatif::{ProgressBar, ProgressStyle};
use ringfort_storage_node::{Progress, ScrubStatus};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: &ScrubArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.target.data);
    let before: StatusReply = client.get("/v1/status").await?;
    let () = client.post("/v1/scrub", &()).await?;
    if args.detach {
        say!("A scrub runs; `ringfort status` tells how far it is.");
        return Ok(());
    }
    let mut shown = Shown::new();
    let last = loop {
        let status: StatusReply = client.get("/v1/status").await?;
        let scrub = status.node.scrub;
        // Counted, not timed: the clock may jump, and a scrub of little data ends within a second.
        if scrub.finished > before.node.scrub.finished {
            break scrub;
        }
        if let Some(progress) = &scrub.progress {
            shown.update(progress, &scrub);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    shown.end();
    let ScrubStatus { checked, damaged, .. } = last;
    match damaged {
        0 => say!("{checked} pieces read, all good."),
        _ => say!("{checked} pieces read, {damaged} damaged: repair has them; see `ringfort status`."),
    }
    Ok(())
}

/// How far the scrub is, as it is shown.
enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Shown {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: None };
        }
        let style =
            ProgressStyle::with_template("scrub [{bar:40}] {percent} %  {msg}").expect("a constant template");
        Self::Bar(ProgressBar::new(1000).with_style(style.progress_chars("=> ")))
    }

    fn update(&mut self, progress: &Progress, scrub: &ScrubStatus) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(permille(progress.percent));
                bar.set_message(message(progress, scrub));
            }
            Self::Lines { last } if last.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) => {
                *last = Some(Instant::now());
                complain!("scrub {:.0} %  {}", progress.percent, message(progress, scrub));
            }
            Self::Lines { .. } => {}
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn message(progress: &Progress, scrub: &ScrubStatus) -> String {
    let ScrubStatus { checked, damaged, .. } = scrub;
    let eta = progress.eta_s.map(|s| format!(", {} to go", show::span(s))).unwrap_or_default();
    format!("{checked} pieces, {damaged} damaged{eta}")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
fn permille(percent: f64) -> u64 {
    (percent * 10.0).clamp(0.0, 1000.0) as u64
}

//! How things look on a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use ringfort_storage_node::Progress;
use serde::Serialize;

/// A table without lines; the columns numbered in `right` are figures.
pub(super) fn table(head: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `1.5 GiB`.
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// `3 min 20 s`, in at most two units.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `42.0 % (12 of 30), 1.2 GiB, 20 s to go`.
pub(super) fn progress(progress: &Progress) -> String {
    let Progress { what, percent, done, total, bytes: moved, eta_s, paused } = progress;
    let mut text = format!("{what}: {percent:.1} % ({done} of {total}), {}", bytes(*moved));
    if *paused {
        text.push_str(", paused");
    } else if let Some(seconds) = eta_s {
        text.push_str(&format!(", {} to go", span(*seconds)));
    }
    text
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, wanted) in [(5, "5 s"), (200, "3 min 20 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds), wanted);
        }
    }
}

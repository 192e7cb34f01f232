//! What is printed for people: lines, and forms that can be pasted into a shell.

use std::fmt::Arguments;
use std::io::Write;
use std::path::Path;

/// Prints a line. Unlike `println!` it does not mind that whoever read has gone, as after `| head`.
macro_rules! say {
    ($($words:tt)*) => { $crate::words::line_to(&mut std::io::stdout(), format_args!($($words)*)) };
}

/// Prints a line on standard error, likewise.
macro_rules! complain {
    ($($words:tt)*) => { $crate::words::line_to(&mut std::io::stderr(), format_args!($($words)*)) };
}

/// Writes a line to whoever still reads.
pub(crate) fn line_to(out: &mut impl Write, words: Arguments<'_>) {
    let _ = writeln!(out, "{words}");
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        for (path, wanted) in
            [("/a/b-1.c", "/a/b-1.c"), ("/a b", "'/a b'"), ("/a'b", r"'/a'\''b'"), ("/a$b", "'/a$b'")]
        {
            assert_eq!(quoted(Path::new(path)), wanted);
        }
    }
}

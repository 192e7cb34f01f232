//! Log lines on standard error, as text or as JSON. A line that is about a request names it.

use ringfort_runtime::current_request;
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Environment variable that stands above the settings.
pub(crate) const FILTER_VARIABLE: &str = "RINGFORT_LOG";

/// What the Raft library says of a voter that is away is said many times a second, and `status` says it better. A filter that
/// names the library stands above this.
const ALWAYS: &str = "openraft=off";

/// Starts logging to standard error.
pub(crate) fn start_logging(json: bool, filter: &str) {
    let (filter, fault) = match std::env::var(FILTER_VARIABLE) {
        Ok(text) => match format!("{ALWAYS},{text}").parse::<EnvFilter>() {
            Ok(given) => (given, None),
            Err(error) => (EnvFilter::new(format!("{ALWAYS},{filter}")), Some(error)),
        },
        Err(_) => (EnvFilter::new(format!("{ALWAYS},{filter}")), None),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that nobody reads any more is no reason to fail.
    let lines = lines.log_internal_errors(false);
    // A second subscriber in one process is a test's business, not a fault.
    let _ = if json {
        let form = NamesRequest { form: Format::default().json().flatten_event(true), json };
        lines.with_ansi(false).fmt_fields(JsonFields::new()).event_format(form).try_init()
    } else {
        let ansi = std::io::stderr().is_terminal();
        let form = NamesRequest { form: Format::default().with_ansi(ansi), json };
        lines.with_ansi(ansi).event_format(form).try_init()
    };
    if let Some(error) = fault {
        tracing::warn!(%error, "{FILTER_VARIABLE} is no filter such as `info`: the settings' filter is used");
    }
}

/// A form of lines to which the id of the running request is added.
struct NamesRequest<F> {
    form: Format<F>,
    json: bool,
}

impl<F, S, N> FormatEvent<S, N> for NamesRequest<F>
where
    Format<F>: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request) = current_request() else { return self.form.format_event(context, writer, event) };
        let mut line = String::new();
        let buffer = Writer::new(&mut line);
        self.form.format_event(context, buffer, event)?;
        writer.write_str(&with_request_id(line, request, self.json))
    }
}

/// The line with the request's id, unless it names it already.
fn with_request_id(mut line: String, request: u64, json: bool) -> String {
    if line.contains("request_id") {
        return line;
    }
    line.truncate(line.trim_end().len());
    if json {
        if line.pop() == Some('}') {
            line.push_str(&format!(",\"request_id\":\"{request:016X}\"}}"));
        }
    } else {
        line.push_str(&format!(" request_id={request:016X}"));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_their_request_once() {
        let text = with_request_id("WARN x: damaged device=1\n".to_owned(), 0xab, false);
        assert_eq!(text, "WARN x: damaged device=1 request_id=00000000000000AB\n");
        let json = with_request_id("{\"level\":\"WARN\"}\n".to_owned(), 0xab, true);
        assert_eq!(json, "{\"level\":\"WARN\",\"request_id\":\"00000000000000AB\"}\n");
        let named = "WARN x: failed request_id=00000000000000AB\n".to_owned();
        assert_eq!(with_request_id(named.clone(), 0xab, false), named);
    }
}

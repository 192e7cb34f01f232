//! A container as a web site: index pages, listings in HTML, error pages, for visitors without a token (or with
//! `X-Web-Mode: true`).

use crate::authorize::Need;
use crate::clock;
use crate::containers::Container;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::listing::escaped;
use crate::ops::{Row, Wanted, empty_reply, typed_reply};
use crate::target::quote;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, Response, StatusCode};
use ringfort_http::ReplyBody;

/// Marks a reply that was made here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page;

const STYLE: &str = "  <style type=\"text/css\">\n   h1 {font-size: 1em; font-weight: bold;}\n   \
    th {text-align: left; padding: 0px 1em 0px 1em;}\n   td {padding: 0px 1em 0px 1em;}\n   \
    a {text-decoration: none;}\n  </style>\n";

/// What a container's metadata say about its web site.
struct Site {
    index: String,
    error: String,
    listings: String,
    label: String,
    css: String,
    folder_type: String,
}

impl Site {
    fn of(container: Option<&Container>) -> Self {
        let text = |name: &str| {
            let name = format!("x-container-meta-web-{name}");
            container.and_then(|found| found.get(&name)).unwrap_or_default().trim().to_owned()
        };
        Self {
            index: text("index"),
            error: text("error"),
            listings: text("listings"),
            label: text("listings-label"),
            css: text("listings-css"),
            folder_type: text("directory-type"),
        }
    }

    fn is_on(&self) -> bool {
        !self.index.is_empty() || !self.listings.is_empty()
    }
}

impl SwiftGateway {
    /// Whether a request is a visitor's.
    pub(crate) fn is_visit(call: &Call) -> bool {
        let reads = matches!(*call.method(), Method::GET | Method::HEAD);
        reads
            && !call.container.is_empty()
            && (call.identity.is_none() || headers::says_yes(&call.parts.headers, "x-web-mode"))
    }

    /// Answers a visitor.
    pub(crate) async fn visit(&self, call: Call) -> Reply {
        let container = self.container_if_any(&call.account, &call.container).await?;
        let site = Site::of(container.as_ref());
        let answer = if call.object.is_empty() {
            self.visit_container(&call, &site).await
        } else {
            self.visit_object(&call, &site).await
        };
        match answer {
            Err(error) => Err(self.with_error_page(&call, &site, error).await),
            answer => answer,
        }
    }

    /// Sends a visitor to the folder that was meant.
    fn with_slash(&self, call: &Call) -> Response<ReplyBody> {
        let mut response = empty_reply(StatusCode::MOVED_PERMANENTLY);
        let query = match &call.signed {
            Some(_) => call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default(),
            None => String::new(),
        };
        let host = call.parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let path = call.parts.uri.path();
        let scheme = self.inner.config.public_url.split("://").next().unwrap_or("http");
        let location = if host.is_empty() {
            format!("{path}/{query}")
        } else {
            format!("{scheme}://{host}{path}/{query}")
        };
        response.headers_mut().insert(LOCATION, headers::value(location));
        response.extensions_mut().insert(Page);
        response
    }

    async fn visit_container(&self, call: &Call, site: &Site) -> Reply {
        self.allow(call, &call.container, if site.is_on() { Need::Read } else { Need::List }).await?;
        if !site.is_on() {
            if headers::says_yes(&call.parts.headers, "x-web-mode") {
                return Err(SwiftError::not_found());
            }
            return self.list_container(call).await;
        }
        if !call.parts.uri.path().ends_with('/') {
            return Ok(self.with_slash(call));
        }
        if site.index.is_empty() {
            return self.web_listing(call, site, "").await;
        }
        match self.page(call, &site.index).await {
            Err(error) if error.status() == StatusCode::NOT_FOUND => self.web_listing(call, site, "").await,
            answer => answer,
        }
    }

    async fn visit_object(&self, call: &Call, site: &Site) -> Reply {
        self.allow(call, &call.container, Need::Read).await?;
        let found = self.read_object(call.clone()).await;
        let missing = match &found {
            Ok(response) => is_folder(response, site),
            Err(error) if error.status() == StatusCode::NOT_FOUND => true,
            Err(_) => false,
        };
        if !missing || !site.is_on() {
            return found;
        }
        let folder = call.object.ends_with('/');
        if !site.index.is_empty() {
            let slash = if folder { "" } else { "/" };
            match self.page(call, &format!("{}{slash}{}", call.object, site.index)).await {
                Ok(_) if !folder => return Ok(self.with_slash(call)),
                Err(error) if error.status() == StatusCode::NOT_FOUND => {}
                answer => return answer,
            }
        }
        if folder {
            return self.web_listing(call, site, &call.object).await;
        }
        let wanted = Wanted::prefix(&format!("{}/", call.object), 1);
        let inside = self.rows(&call.account, &call.container, wanted).await?;
        if inside.is_empty() { Err(SwiftError::not_found()) } else { Ok(self.with_slash(call)) }
    }

    /// One object of the site, as it is read.
    async fn page(&self, call: &Call, object: &str) -> Reply {
        let there = Call { object: object.to_owned(), ..call.clone() };
        let mut response = self.read_object(there).await?;
        response.extensions_mut().insert(Page);
        Ok(response)
    }

    /// The error with the site's own page for it, if it has one.
    async fn with_error_page(&self, call: &Call, site: &Site, error: SwiftError) -> SwiftError {
        let status = error.status();
        let fitting =
            matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if site.error.is_empty()
            || !fitting
            || (status == StatusCode::NOT_FOUND && !call.object.is_empty() && !site.is_on())
        {
            return error;
        }
        // The page is for those who see nothing else, so only the container's own list keeps it back.
        let name = format!("{}{}", status.as_u16(), site.error);
        let at = ringfort_object::ObjectPath::new(call.account.as_str(), call.container.as_str(), name);
        if self.allow(call, &call.container, Need::Read).await.is_err() {
            return error;
        }
        let Ok((info, Some(body))) = self.object(&at, None, true).await else { return error };
        if info.size > self.inner.config.manifest_bytes_max as u64 {
            return error;
        }
        use futures_util::TryStreamExt;
        let pieces: Result<Vec<bytes::Bytes>, _> = body.try_collect().await;
        let Ok(pieces) = pieces else { return error };
        let page = SwiftError::made(status, "text/html; charset=UTF-8", pieces.concat().into());
        error.headers().iter().fold(page, |page, (name, value)| page.header(name.clone(), value.clone()))
    }

    async fn web_listing(&self, call: &Call, site: &Site, prefix: &str) -> Reply {
        let path = format!("/v1/{}/{}/{}", call.account_name, call.container, call.object);
        let label = if site.label.is_empty() { path } else { format!("{}/{}", site.label, call.object) };
        if !headers::is_true(&site.listings) {
            return Err(disabled(site, &label, prefix));
        }
        let listing = Need::List;
        let _ = listing;
        let wanted =
            Wanted { delimiter: "/".to_owned(), ..Wanted::prefix(prefix, self.inner.config.listing_limit) };
        let rows = self.rows(&call.account, &call.container, wanted).await?;
        if rows.is_empty() && !prefix.is_empty() {
            return Err(SwiftError::not_found());
        }
        let suffix = call.signed.as_ref().and_then(crate::tempurl::Signed::link_suffix).unwrap_or_default();
        let top = call.signed.as_ref().and_then(crate::tempurl::Signed::prefix).unwrap_or_default();
        let mut page = head(site, &label, prefix);
        page.push_str(&format!(" <body>\n  <h1 id=\"title\">Listing of {}</h1>\n", escaped(&label)));
        page.push_str(
            "  <table id=\"listing\">\n   <tr id=\"heading\">\n    <th class=\"colname\">Name</th>\n    \
             <th class=\"colsize\">Size</th>\n    <th class=\"coldate\">Date</th>\n   </tr>\n",
        );
        if prefix.len() > top.len() {
            page.push_str(&line("item\" id=\"parent", &format!("../{suffix}"), "../", "&nbsp;", "&nbsp;"));
        }
        for row in rows.iter().filter(|row| matches!(row, Row::Prefix(_))) {
            let name = &row.name()[prefix.len()..];
            let link = format!("./{}{suffix}", linked(name));
            page.push_str(&line("item subdir", &link, &escaped(name), "&nbsp;", "&nbsp;"));
        }
        for row in &rows {
            let Row::Object { name, bytes, modified, listed, .. } = row else { continue };
            let name = &name[prefix.len()..];
            let kinds: Vec<String> = listed
                .content_type
                .split('/')
                .map(|part| format!("type-{}", escaped(&part.to_ascii_lowercase())))
                .collect();
            let date = clock::iso8601(*modified)[..19].replace('T', " ");
            let size = human(listed.bytes.unwrap_or(*bytes));
            let link = format!("./{}{suffix}", linked(name));
            page.push_str(&line(&format!("item {}", kinds.join(" ")), &link, &escaped(name), &size, &date));
        }
        page.push_str("  </table>\n </body>\n</html>\n");
        let mut response = typed_reply("text/html; charset=UTF-8", page);
        let len = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
        response.headers_mut().insert(CONTENT_LENGTH, len.into());
        response.extensions_mut().insert(Page);
        Ok(response)
    }
}

/// A name as a link; a dot would be taken for this folder or the one above.
fn linked(name: &str) -> String {
    quote(name).replace('.', "%2E")
}

fn line(class: &str, link: &str, name: &str, size: &str, date: &str) -> String {
    format!(
        "   <tr class=\"{class}\">\n    <td class=\"colname\"><a href=\"{link}\">{name}</a></td>\n    \
         <td class=\"colsize\">{size}</td>\n    <td class=\"coldate\">{date}</td>\n   </tr>\n"
    )
}

fn head(site: &Site, label: &str, prefix: &str) -> String {
    let style = if site.css.is_empty() {
        STYLE.to_owned()
    } else {
        let absolute = ["/", "http://", "https://"].iter().any(|start| site.css.starts_with(start));
        let path = if absolute {
            site.css.replace('"', "%22")
        } else {
            format!("{}{}", "../".repeat(prefix.matches('/').count()), quote(&site.css))
        };
        format!("  <link rel=\"stylesheet\" type=\"text/css\" href=\"{}\" />\n", escaped(&path))
    };
    let label = escaped(label);
    format!("<!DOCTYPE html>\n<html>\n <head>\n  <title>Listing of {label}</title>\n{style} </head>\n")
}

fn disabled(site: &Site, label: &str, prefix: &str) -> SwiftError {
    let mut page = head(site, label, prefix);
    page.push_str(
        "<body>  <h1>Web Listing Disabled</h1>   <p>The owner of this web site has disabled web listing.   \
         <p>If you are the owner of this web site, you can enable   web listing by setting \
         X-Container-Meta-Web-Listings.</p>",
    );
    if !site.index.is_empty() {
        page.push_str(&format!(
            "<h1>Index File Not Found</h1> <p>The owner of this web site has set  \
             <b>X-Container-Meta-Web-Index: {}</b>.  However, this file is not found.</p>",
            escaped(&site.index)
        ));
    }
    page.push_str(" </body>\n</html>\n");
    SwiftError::made(StatusCode::NOT_FOUND, "text/html; charset=UTF-8", page.into())
}

/// Whether a reply is about an object that only stands for a folder.
fn is_folder(response: &Response<ReplyBody>, site: &Site) -> bool {
    let folder_type = if site.folder_type.is_empty() { "application/directory" } else { &site.folder_type };
    let text = |name| response.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    text(CONTENT_TYPE) == Some(folder_type)
        && text(CONTENT_LENGTH).is_none_or(|len| len.parse::<u64>().is_ok_and(|len| len <= 1))
}

/// A size for people: `1.5Ki` and the like, rounded as Swift does.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut value, mut unit) = (bytes, 0);
    let mut rest = 0;
    while value >= 1024 && unit + 1 < UNITS.len() {
        rest = value % 1024;
        value /= 1024;
        unit += 1;
    }
    if rest >= 512 {
        value += 1;
    }
    format!("{value}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, wanted) in [(0, "0"), (1023, "1023"), (1024, "1Ki"), (1536, "2Ki"), (5 << 30, "5Gi")] {
            assert_eq!(human(bytes), wanted);
        }
    }

    #[test]
    fn names_in_links_stay_in_the_folder() {
        assert_eq!(linked("../a b"), "%2E%2E/a%20b");
    }
}

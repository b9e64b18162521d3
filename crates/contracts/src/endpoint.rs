//! An L1 endpoint as it may be shown: operators' URLs hold API keys, and errors, status and logs are read by others.

use std::fmt;

/// Parts of a URL shorter than this are no secret, and too common in other words to be replaced there.
const SHORTEST_SECRET: usize = 4;

/// What an endpoint is called in texts: scheme, host and port, nothing else of its URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    shown: String,
    /// Parts of the URL that may be keys, the longest first.
    secrets: Vec<String>,
}

impl Endpoint {
    /// The name of the endpoint at `url`. What is no URL is not shown at all: a key pasted into the wrong place is one, too.
    pub fn new(url: &str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self::named("(not a URL)".to_owned(), [url]);
        };
        let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        Self::named(format!("{scheme}://{host}"), path.split(['/', '\\', '?', '&', '=', '#', ';']).chain(user.split([':', '@'])))
    }

    fn named<'a>(shown: String, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<String> =
            parts.into_iter().filter(|part| part.len() >= SHORTEST_SECRET).map(str::to_owned).collect();
        secrets.sort_by_key(|part| core::cmp::Reverse(part.len()));
        Self { shown, secrets }
    }

    /// A text of somebody else, such as an http client or the server itself, without the parts of the URL that may be keys.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// What lies at the bottom of an error, redacted: above it stand only the layers of the http client, which name the URL.
    pub fn cause(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        self.redact(&cause.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        for (url, shown) in [
            ("https://user:s3cr3t@l1.example:8545/v3/s3cr3t?key=s3cr3t#s3cr3t", "https://l1.example:8545"),
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
            ("https://l1.example?apikey=s3cr3t", "https://l1.example"),
            ("https://l1.example\\s3cr3t", "https://l1.example"),
            ("https://a@s3cr3t@[::1]:1/", "https://[::1]:1"),
            ("s3cr3t", "(not a URL)"),
        ] {
            let endpoint = Endpoint::new(url);
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(format!("{endpoint:?}"), shown);
            let answer = if url.contains("s3cr3t") { "key s3cr3t" } else { "no key" };
            assert!(!endpoint.redact(&format!("refused {url}: {answer}")).contains("s3cr3t"), "{url}");
        }
    }
}

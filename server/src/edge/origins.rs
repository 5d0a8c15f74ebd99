//! Which web pages may open a WebSocket or a WebTransport session here.
//!
//! A browser says which page's script asks. Without a list pages of the address that they connect to are
//! welcome, with one only those on it: an address may lead here under a stranger's name (DNS rebinding). A client that is no browser says nothing, and its token decides alone.

use http::HeaderValue;

/// The list of pages from elsewhere that are welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    /// Only what is listed, each as `scheme://host[:port]`; `*` lets every page in.
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Self {
        Self {
            allowed: allowed
                .into_iter()
                .map(|origin| origin.to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether pages of an origin are on the list. Without a list none is: the pages of this very address need
    /// no leave.
    pub fn list(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.has(origin))
    }

    fn has(&self, origin: &str) -> bool {
        let mut allowed = self.allowed.iter();
        allowed.any(|it| it.eq_ignore_ascii_case(origin) || it == "*")
    }

    /// Whether a request from a page of `origin` to `host` may open one.
    pub fn allow(&self, origin: Option<&HeaderValue>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        if self.has(&origin) {
            return true;
        }
        if !self.allowed.is_empty() {
            return false;
        }
        let page = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        matches!((page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], origin: Option<&str>, expect: bool) {
        let origins = Origins::new(allowed.iter().map(|s| (*s).to_owned()));
        let header = origin.map(|origin| origin.parse().unwrap());
        let allow = origins.allow(header.as_ref(), Some("map.example:8080"));
        assert_eq!(allow, expect, "{allowed:?} {origin:?}");
    }

    #[test]
    fn a_foreign_page_is_refused_unless_listed() {
        check(&[], None, true);
        check(&[], Some("https://evil.example"), false);
        check(&[], Some("null"), false);
        check(&[], Some("http://map.example:8080"), true);
        check(&[], Some("http://map.example:8080.evil.example"), false);
        check(&["https://app.example"], Some("https://APP.example"), true);
        check(&["https://app.example"], Some("http://app.example"), false);
        check(
            &["https://app.example"],
            Some("http://map.example:8080"),
            false,
        );
        check(&["*"], Some("https://anyone.example"), true);
    }

    #[test]
    fn only_listed_pages_are_listed() {
        let origins = Origins::new(["https://app.example".to_owned()]);
        let listed = |origins: &Origins, text: &str| origins.list(&text.parse().unwrap());
        assert!(listed(&origins, "https://APP.example"));
        assert!(!listed(&origins, "https://app.example.evil.example"));
        assert!(!listed(&Origins::default(), "https://app.example"));
    }
}

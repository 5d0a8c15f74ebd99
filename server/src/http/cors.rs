//! The public API for web pages of other origins (CORS).
//!
//! Which pages may read answers is decided by the browser, by what this says. The API knows no cookie: whoever has
//! a token may use it, and a page without one learns nothing that a stranger would not.

use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH, RETRY_AFTER};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::origins::Origins;

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Answers the questions of browsers, and names the page in answers to those on the list.
pub fn layer(origins: Origins) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origins.list(origin)
        }))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH])
        .expose_headers([RETRY_AFTER])
        .max_age(REMEMBERED)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN, VARY,
    };
    use http::{Method, Request, Response};
    use hyper_util::service::TowerToHyperService;

    use super::layer;
    use crate::edge::origins::Origins;

    async fn answer(method: Method, origin: &str) -> Response<Body> {
        let origins = Origins::new(["https://app.example".to_owned()]);
        let router = Router::new().route("/", get(|| async { "here" }));
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "GET");
        let request = request.body(Body::empty()).expect("a request");
        let service = TowerToHyperService::new(router.layer(layer(origins)));
        let Ok(answer) = hyper::service::Service::call(&service, request).await;
        answer
    }

    #[tokio::test]
    async fn a_listed_page_may_read_and_no_other() {
        for method in [Method::GET, Method::OPTIONS] {
            let listed = answer(method.clone(), "https://app.example").await;
            let headers = listed.headers();
            assert!(listed.status().is_success(), "{method}");
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
            assert!(
                headers
                    .get_all(VARY)
                    .iter()
                    .any(|it| { it.to_str().is_ok_and(|it| it.contains("origin")) })
            );
            let foreign = answer(method, "https://evil.example").await;
            assert!(!foreign.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        }
    }

    #[tokio::test]
    async fn a_browser_is_told_that_a_token_may_come() {
        let told = answer(Method::OPTIONS, "https://app.example").await;
        let headers = told.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str();
        assert!(headers.expect("a text").contains("authorization"));
    }
}

//! Serves the public API to requests that the shards' listeners hand over.
//!
//! Each request runs as a task of its own on the control runtime; how many at once is bounded by
//! the router, how many wait by the bridge.

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{mpsc, watch};

use crate::edge::bridge::{BridgeError, BridgedRequest};
use crate::http::listener::stopped;

/// Serves until `stop` is true or every shard has dropped its end.
pub async fn serve(
    mut requests: mpsc::Receiver<BridgedRequest>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    loop {
        let (request, answer) = tokio::select! {
            request = requests.recv() => match request {
                Some(request) => request,
                None => return,
            },
            () = stopped(&mut stop) => return,
        };
        let call = hyper::service::Service::call(&service, request.map(Body::new));
        tokio::spawn(async move {
            // A router has an answer for everything; its error type has no values.
            let Ok(response) = call.await;
            let response = response.map(|body| body.map_err(BridgeError::from).boxed_unsync());
            // Whoever asked may be gone.
            let _ = answer.send(response);
        });
    }
}

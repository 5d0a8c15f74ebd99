//! The public HTTP API behind the shards' listeners: requests come over the bridge, answers go back.

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;

use crate::edge::bridge::{BridgeError, BridgedRequest};

/// Answers requests until every shard has dropped its end of the bridge.
pub async fn serve(router: Router, mut requests: mpsc::Receiver<BridgedRequest>) {
    let service = TowerToHyperService::new(router);
    while let Some((request, answer)) = requests.recv().await {
        let service = service.clone();
        tokio::spawn(async move {
            let Ok(response) = service.call(request.map(Body::new)).await;
            let response = response.map(|body| body.map_err(BridgeError::from).boxed_unsync());
            // Whoever asked may be gone.
            let _ = answer.send(response);
        });
    }
}

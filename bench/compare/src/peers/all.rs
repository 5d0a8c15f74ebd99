//! The list of them.

use crate::peer::FanOutPeer;
use crate::peers::mosquitto::MosquittoPeer;
use crate::peers::nats::NatsPeer;
use crate::peers::plain::PlainPeer;
use crate::peers::redis::RedisPeer;
use crate::peers::skein::SkeinPeer;
use crate::peers::stack::StackPeer;

/// Every peer that fans out over TCP, skein first.
pub fn fan_out_peers() -> Vec<Box<dyn FanOutPeer>> {
    vec![
        Box::new(SkeinPeer),
        Box::new(RedisPeer),
        Box::new(NatsPeer),
        Box::new(MosquittoPeer),
        Box::new(StackPeer::each()),
        Box::new(StackPeer::joined()),
        Box::new(PlainPeer::tungstenite()),
        Box::new(PlainPeer::tokio_websockets()),
    ]
}

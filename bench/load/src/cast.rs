//! Who takes part in a run: chats, senders, viewers, and how each behaves.

use serde::{Deserialize, Serialize};

use crate::plan::{Behaviour, ChatPlan};

/// Of so many viewers one is restless where viewers leave and come back.
const RESTLESS_OF: u32 = 10;

/// How viewers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC.
    Quic,
}

impl Transport {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
        }
    }
}

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Begins the names of chats and users; unique to a run.
    pub prefix: String,
    /// Relative sizes of the chats.
    pub sizes: Vec<u32>,
    /// How many senders.
    pub senders: u32,
    /// How many viewers over each transport.
    pub viewers: Vec<(Transport, u32)>,
    /// How many viewers stop reading now and then.
    pub slow: u32,
    /// Whether viewers leave and come back.
    pub churns: bool,
}

/// A viewer.
#[derive(Clone, Debug)]
pub struct ViewerRole {
    /// Its number in the run.
    pub number: u32,
    /// Which chat.
    pub chat: u32,
    /// Over what.
    pub transport: Transport,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Its user.
    pub user: String,
}

/// Everybody.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The chats and their senders.
    pub chats: Vec<ChatPlan>,
    /// The user behind each sender.
    pub senders: Vec<String>,
    /// The viewers.
    pub viewers: Vec<ViewerRole>,
}

impl Cast {
    /// Spreads senders and viewers over the chats in proportion to their sizes.
    pub fn new(wish: &Wish) -> Self {
        let borders = borders(&wish.sizes, wish.senders);
        let chat = |(number, pair): (usize, &[u32])| ChatPlan {
            name: format!("{}-{number}", wish.prefix),
            sender_first: pair[0],
            senders: pair[1] - pair[0],
        };
        let sender = |number: u32| format!("{}-s{number}", wish.prefix);
        let total: u32 = wish.viewers.iter().map(|(_, count)| count).sum();
        let mut viewers = Vec::with_capacity(total as usize);
        for (transport, count) in &wish.viewers {
            for (chat, pair) in self::borders(&wish.sizes, *count).windows(2).enumerate() {
                for _ in pair[0]..pair[1] {
                    let number = viewers.len() as u32;
                    viewers.push(ViewerRole {
                        number,
                        chat: chat as u32,
                        transport: *transport,
                        behaviour: behaviour(wish, number, total),
                        user: format!("{}-v{number}", wish.prefix),
                    });
                }
            }
        }
        Self {
            chats: borders.windows(2).enumerate().map(chat).collect(),
            senders: (0..wish.senders).map(sender).collect(),
            viewers,
        }
    }

    /// How many viewers that read all the time the chat of each sender has.
    pub fn steady_viewers(&self) -> Vec<u32> {
        let mut of_chat = vec![0; self.chats.len()];
        for viewer in &self.viewers {
            of_chat[viewer.chat as usize] += u32::from(viewer.behaviour == Behaviour::Steady);
        }
        let chats = self.chats.iter().zip(of_chat);
        chats
            .flat_map(|(chat, viewers)| (0..chat.senders).map(move |_| viewers))
            .collect()
    }
}

/// Slow ones are spread over all viewers, and so are restless ones over the others.
fn behaviour(wish: &Wish, number: u32, total: u32) -> Behaviour {
    let share = |number: u32| u64::from(number) * u64::from(wish.slow) / u64::from(total.max(1));
    if share(number + 1) > share(number) {
        return Behaviour::Slow;
    }
    match wish.churns && (number.is_multiple_of(RESTLESS_OF) || total < RESTLESS_OF) {
        true => Behaviour::Restless,
        false => Behaviour::Steady,
    }
}

/// Where each part of `total` begins and the last one ends, in proportion to the sizes.
fn borders(sizes: &[u32], total: u32) -> Vec<u32> {
    let whole: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    let mut done = 0;
    let mut borders = vec![0];
    for size in sizes {
        done += u64::from(*size);
        borders.push((u64::from(total) * done / whole.max(1)) as u32);
    }
    borders
}

#[cfg(test)]
mod tests {
    use crate::cast::{Cast, Transport, Wish};
    use crate::plan::Behaviour;

    fn wish() -> Wish {
        Wish {
            prefix: "load".to_owned(),
            sizes: vec![8, 1, 1],
            senders: 100,
            viewers: vec![(Transport::Ws, 500), (Transport::Quic, 50)],
            slow: 11,
            churns: true,
        }
    }

    #[test]
    fn everybody_has_a_place_in_proportion_to_the_sizes() {
        let cast = Cast::new(&wish());
        let senders: Vec<_> = cast.chats.iter().map(|chat| chat.senders).collect();
        assert_eq!(senders, [80, 10, 10]);
        assert_eq!(cast.viewers.len(), 550);
        let in_first = cast.viewers.iter().filter(|viewer| viewer.chat == 0);
        assert_eq!(in_first.count(), 440);
        let of = |wanted| {
            let viewers = cast.viewers.iter();
            viewers.filter(|viewer| viewer.behaviour == wanted).count()
        };
        assert_eq!(of(Behaviour::Slow), 11);
        assert!((40..=55).contains(&of(Behaviour::Restless)));
        let steady = cast.steady_viewers();
        assert_eq!(steady.len(), 100);
        assert!((380..440).contains(&steady[0]), "{}", steady[0]);
    }
}

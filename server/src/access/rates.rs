//! How often an address may knock and a user may ask, over all connections, transports and cores.
//!
//! What one connection may do is the engine's to bound, what one session may send as well.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use skein_engine::identity::Person;
use skein_wire::error::{Code, WireError};

use crate::access::network::Network;
use crate::access::rate_table::{RateKey, RateTable};

/// A sustained rate and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Per second; 0 = no limit.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// It was too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften {
    /// Milliseconds until it may be tried again.
    pub retry_after_ms: u32,
    whose: &'static str,
}

impl From<TooOften> for WireError {
    fn from(
        TooOften {
            retry_after_ms,
            whose,
        }: TooOften,
    ) -> Self {
        let text = format!("too many requests of this {whose}; try again in {retry_after_ms} ms");
        Self::new(Code::RateLimited, text)
    }
}

/// The tables of addresses and of users.
#[derive(Debug)]
pub struct Rates {
    addresses: RateTable,
    users: RateTable,
    /// Whose addresses are not limited.
    exempt: Vec<Network>,
    addresses_refused: AtomicU64,
    users_refused: AtomicU64,
}

impl Rates {
    /// Tables in which nothing was used up.
    pub fn new(address: Rate, user: Rate, exempt: Vec<Network>) -> Self {
        Self {
            addresses: RateTable::new(address.per_second, address.burst),
            users: RateTable::new(user.per_second, user.burst),
            exempt,
            addresses_refused: AtomicU64::new(0),
            users_refused: AtomicU64::new(0),
        }
    }

    /// No limits.
    pub fn unlimited() -> Self {
        let none = Rate {
            per_second: 0,
            burst: 0,
        };
        Self::new(none, none, Vec::new())
    }

    /// An address has opened a connection, or made a request over HTTP.
    ///
    /// # Errors
    /// When it has done so too often.
    pub fn take_address(&self, address: IpAddr, now_ms: u64) -> Result<(), TooOften> {
        self.address(address, |key| self.addresses.take(key, now_ms))
    }

    /// Whether an address may do so now. It need not be the sender's own: only what is proved counts.
    ///
    /// # Errors
    /// When it has done so too often.
    pub fn check_address(&self, address: IpAddr, now_ms: u64) -> Result<(), TooOften> {
        self.address(address, |key| self.addresses.check(key, now_ms))
    }

    fn address(
        &self,
        address: IpAddr,
        ask: impl FnOnce(RateKey) -> Result<(), u32>,
    ) -> Result<(), TooOften> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|network| network.has(address)) {
            return Ok(());
        }
        let key = self.addresses.key(household(address));
        ask(key).map_err(|retry_after_ms| {
            self.addresses_refused.fetch_add(1, Ordering::Relaxed);
            TooOften {
                retry_after_ms,
                whose: "address",
            }
        })
    }

    /// By what a user is known here. A relay asks for all its viewers, and is not limited.
    pub fn user(&self, person: &Person) -> RateKey {
        match person.is_relay() {
            true => RateKey::EXEMPT,
            false => self.users.key(&person.user),
        }
    }

    /// A user has asked for something.
    ///
    /// # Errors
    /// When they have done so too often.
    pub fn take_user(&self, user: RateKey, now_ms: u64) -> Result<(), TooOften> {
        self.users.take(user, now_ms).map_err(|retry_after_ms| {
            self.users_refused.fetch_add(1, Ordering::Relaxed);
            TooOften {
                retry_after_ms,
                whose: "user",
            }
        })
    }

    /// What was refused so far: to addresses, to users.
    pub fn refused(&self) -> [u64; 2] {
        [&self.addresses_refused, &self.users_refused].map(|it| it.load(Ordering::Relaxed))
    }
}

/// What one subscriber has: an address, or the 64 bits in front that IPv6 gives to each.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let front = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(front).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_engine::identity::Person;
    use skein_wire::error::{Code, WireError};
    use skein_wire::ids::UserName;

    use crate::access::rate_table::RateKey;
    use crate::access::rates::{Rate, Rates};

    const ONE: Rate = Rate {
        per_second: 1,
        burst: 1,
    };

    #[test]
    fn a_household_is_one_and_exempt_networks_are_none() {
        let rates = Rates::new(ONE, ONE, vec!["127.0.0.0/8".parse().unwrap()]);
        let take = |address: &str| rates.take_address(address.parse().unwrap(), 0).is_ok();
        assert!(take("203.0.113.1") && !take("203.0.113.1") && take("203.0.113.2"));
        assert!(!take("::ffff:203.0.113.1"));
        assert!(take("2001:db8:0:1::1") && !take("2001:db8:0:1::2") && take("2001:db8:0:2::1"));
        assert!((0..9).all(|_| take("127.0.0.1")));
        assert_eq!(rates.refused(), [3, 0]);
    }

    #[test]
    fn users_are_told_when_to_come_back() {
        let rates = Rates::new(ONE, ONE, Vec::new());
        let ana = Person::from(UserName::new("ana").unwrap());
        let key = rates.user(&ana);
        rates.take_user(key, 0).unwrap();
        let error = WireError::from(rates.take_user(key, 0).unwrap_err());
        assert_eq!(error.code, Code::RateLimited);
        assert!(
            error.text.contains("this user; try again in 1000 ms"),
            "{error}"
        );
        assert_eq!(rates.refused(), [0, 1]);
        rates.take_user(key, 1_000).unwrap();
        assert!((0..9).all(|_| rates.take_user(RateKey::EXEMPT, 0).is_ok()));
    }
}

//! Cipher suites, with their numbers in the registry of RFC 9605.

/// How points are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128-CTR with HMAC-SHA-256, tags of 10 bytes.
    #[default]
    CtrHmac80,
    /// AES-128-CTR with HMAC-SHA-256, tags of 8 bytes: the smallest rows.
    CtrHmac64,
    /// AES-128-GCM, tags of 16 bytes.
    Gcm128,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CtrHmac80, Self::CtrHmac64, Self::Gcm128];

    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::CtrHmac80 => 1,
            Self::CtrHmac64 => 2,
            Self::Gcm128 => 4,
        }
    }

    /// The suite of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CtrHmac80 => "aes-ctr-hmac-80",
            Self::CtrHmac64 => "aes-ctr-hmac-64",
            Self::Gcm128 => "aes-gcm-128",
        }
    }

    /// Bytes of a tag.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::CtrHmac80 => 10,
            Self::CtrHmac64 => 8,
            Self::Gcm128 => 16,
        }
    }

    /// Bytes of key material: AES-128, and for the CTR suites also the key of the HMAC.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::CtrHmac80 | Self::CtrHmac64 => 16 + 32,
            Self::Gcm128 => 16,
        }
    }
}

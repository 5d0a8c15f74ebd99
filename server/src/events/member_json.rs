//! A member as JSON.

use serde_json::{Value, json};
use skein_engine::rights::Rights;

/// A member and the rights of these bits, as lists and events say them.
pub fn member_json(user: &str, bits: u8) -> Value {
    let rights = Rights::from_bits(bits);
    let named = [
        ("share", rights.has(Rights::SHARE)),
        ("watch", rights.watches()),
    ];
    let names = named.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    let names: Vec<&str> = names.collect();
    let mut member = json!({ "user": user, "rights": names });
    if let Some(grid) = rights.grid() {
        member["grid_m"] = json!(grid.metres());
    }
    if rights.is_revoked() {
        member["revoked"] = Value::Bool(true);
    }
    member
}

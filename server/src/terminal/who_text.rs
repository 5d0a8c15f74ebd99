//! Names of other people, as a terminal may show them.

use skein_client::change::Subject;

/// A session and its member.
pub fn who(subject: &Subject) -> String {
    let user = printable(subject.user.as_str());
    format!("{user} ({})", subject.session)
}

/// Names come from other people: nothing of them steers a terminal.
pub fn printable(text: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_control() => '\u{fffd}',
        // Marks that turn the direction of text around.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use crate::terminal::who_text::printable;

    #[test]
    fn names_do_not_steer_the_terminal() {
        assert_eq!(printable("a\u{202e}b\u{9b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(printable("Žana 🦢"), "Žana 🦢");
    }
}

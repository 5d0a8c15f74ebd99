//! The sessions of a chat as a table for people.

use std::fmt::Write;

use skein_client::change::{Change, Event};
use skein_client::row::Row;
use skein_client::seal::error::OpenError;
use skein_client::viewer::Viewer;
use skein_client::viewer_state::WatchId;
use skein_wire::point::Payload;
use skein_wire::update::{Cluster, CrossingKind, SessionState};

use crate::terminal::unsealing::Unsealing;
use crate::terminal::who_text::{printable, who};
use crate::text::time_text::clock_text;

/// Rows that are drawn; a terminal shows no more.
const ROWS_MAX: usize = 50;

/// Clusters that are drawn below them, the largest.
const CLUSTERS_DRAWN_MAX: usize = 10;

/// Columns for a user's name.
const NAME_COLUMNS: usize = 16;

/// The whole table, ready to be drawn over the one before it.
pub fn draw(
    viewer: &Viewer,
    id: WatchId,
    chat: &str,
    mut unsealing: Option<&mut Unsealing>,
) -> String {
    let mut rows: Vec<&Row> = viewer.views(id).flat_map(|view| view.rows()).collect();
    rows.retain(|row| !row.state().state.is_ended());
    rows.sort_by(|a, b| a.subject().user.cmp(&b.subject().user));
    let online = match viewer.is_online() {
        true if viewer.upstream_lost_since_ms().is_some() => {
            "  (the relay is CUT OFF from its server: this is old)"
        }
        true => "",
        false => "  (you are OFFLINE: this is old)",
    };
    let time = clock_text(viewer.server_time_ms());
    let mut text = format!("{chat}: {} sharing, {time} UTC{online}\n", rows.len());
    let _ = writeln!(
        text,
        "{:<NAME_COLUMNS$}  {:<10}  {:>11}  {:>11}  {:>7}  {:>8}  {:>7}",
        "user", "state", "lat", "lon", "age", "km/h", "points"
    );
    for row in rows.iter().take(ROWS_MAX) {
        let _ = writeln!(text, "{}", line(viewer, row, unsealing.as_deref_mut()));
    }
    if rows.len() > ROWS_MAX {
        let _ = writeln!(text, "… and {} more", rows.len() - ROWS_MAX);
    }
    for view in viewer.views(id).filter(|view| view.viewing().is_some()) {
        let _ = writeln!(text, "{}", elsewhere(view.clusters()));
        draw_clusters(view.clusters(), &mut text);
    }
    text
}

/// The largest clusters, one a line.
fn draw_clusters(clusters: &[Cluster], text: &mut String) {
    let mut largest: Vec<&Cluster> = clusters.iter().collect();
    largest.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));
    for cluster in largest.into_iter().take(CLUSTERS_DRAWN_MAX) {
        let (centre, count) = (cluster.centre(), cluster.count);
        let _ = writeln!(
            text,
            "{:<NAME_COLUMNS$}  {:<10}  {:>11.4}  {:>11.4}",
            format!("{count} around"),
            "",
            centre.lat(),
            centre.lon()
        );
    }
}

/// How many sessions are no rows of a view.
fn elsewhere(clusters: &[Cluster]) -> String {
    let count: u64 = clusters.iter().map(|it| u64::from(it.count)).sum();
    format!("{count} elsewhere, in {} places", clusters.len())
}

fn degrees(e6: i32) -> f64 {
    f64::from(e6) / 1e6
}

fn line(viewer: &Viewer, row: &Row, unsealing: Option<&mut Unsealing>) -> String {
    let user = printable(row.subject().user.as_str());
    let user: String = user.chars().take(NAME_COLUMNS).collect();
    let state = row.state().state.name();
    let Some(mut point) = row.point().cloned() else {
        return format!("{user:<NAME_COLUMNS$}  {state:<10}  no point yet");
    };
    let session = row.subject().session;
    let unopened = unsealing.and_then(|unsealing| unsealing.look(session, &mut point));
    let age = viewer.age(point.captured_at_ms, row.started_at_ms());
    // A device whose clock cannot be right: the age is a bound, not a measure.
    let mark = if age.clamped { "~" } else { "" };
    let age = format!("{mark}{}", seconds(age.ms));
    let (lat, lon, speed) = match &point.payload {
        Payload::Sealed(_) => (
            "sealed".to_owned(),
            unopened.map_or("", OpenError::name).to_owned(),
            String::new(),
        ),
        Payload::Fix(fix) => {
            let kmh = fix.speed.map(|speed| format!("{:.1}", speed.mps() * 3.6));
            let (lat, lon) = (fix.position.lat(), fix.position.lon());
            (
                format!("{lat:.6}"),
                format!("{lon:.6}"),
                kmh.unwrap_or_default(),
            )
        }
    };
    let counter = point.counter;
    format!(
        "{user:<NAME_COLUMNS$}  {state:<10}  {lat:>11}  {lon:>11}  {age:>7}  {speed:>8}  {counter:>7}"
    )
}

/// One change as a line, for where nothing can be redrawn.
pub fn describe(change: &Change, unopened: Option<OpenError>) -> Option<String> {
    let who = change.subject.as_deref().map(who).unwrap_or_default();
    Some(match &change.event {
        Event::Started { expires_at_ms, .. } => {
            format!("{who} shares until {} UTC", clock_text(*expires_at_ms))
        }
        Event::Extended { expires_at_ms } => {
            format!("{who} goes on until {} UTC", clock_text(*expires_at_ms))
        }
        Event::Point { point, historical } => {
            let place = match &point.payload {
                Payload::Fix(fix) => format!("{:.6} {:.6}", fix.position.lat(), fix.position.lon()),
                Payload::Sealed(blob) => format!("sealed, {} bytes", blob.len()),
            };
            let late = if *historical { ", late" } else { "" };
            let why = unopened.map_or(String::new(), |error| format!(" ({error})"));
            format!("{who} point {}: {place}{why}{late}", point.counter)
        }
        Event::Heartbeat { .. } => format!("{who} is there and does not move"),
        Event::Stale { .. } => format!("{who} is silent"),
        Event::Ended { why, .. } => {
            let why = why.map_or("nobody knows why", SessionState::name);
            format!("{who} has ended: {why}")
        }
        Event::Skipped { count } => format!("{who}: {count} points skipped"),
        Event::Crossed {
            kind,
            name,
            is_alert,
            other,
            ..
        } => {
            let name = printable(name.as_str());
            let (place, name) = match is_alert {
                true => (
                    format!("the place of your alert {name}"),
                    format!("your alert {name}"),
                ),
                false => (name.clone(), name),
            };
            let other = other.as_ref().map(|other| printable(other.user.as_str()));
            let other = other.unwrap_or_default();
            match kind {
                CrossingKind::Enter => format!("{who} has come to {place}"),
                CrossingKind::Exit => format!("{who} has left {place}"),
                CrossingKind::Near => format!("{who} is near {other} ({name})"),
                CrossingKind::Far => format!("{who} is no longer near {other} ({name})"),
            }
        }
        Event::Left => format!("{who} is not in the view any more"),
        Event::Viewing { area, cells } => format!(
            "the view is {:.4} {:.4} to {:.4} {:.4}, {} cells of it as rows",
            degrees(area.south_e6),
            degrees(area.west_e6),
            degrees(area.north_e6),
            degrees(area.east_e6),
            cells.len()
        ),
        Event::Clusters { clusters } => elsewhere(clusters),
        Event::Grid {
            grid_m: Some(metres),
        } => {
            format!("you see places on a grid of {metres} m")
        }
        Event::Grid { grid_m: None } => "you see places as they are reported".to_owned(),
        Event::Resync => "everything anew".to_owned(),
        Event::WatchEnded { .. } => return None,
    })
}

fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.1}s", ms as f64 / 1_000.0),
        10_000..600_000 => format!("{}s", ms / 1_000),
        _ => format!("{}m", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use crate::terminal::watch_table::seconds;

    #[test]
    fn ages_stay_short() {
        let texts = [0, 9_940, 59_999, 3_600_000].map(seconds);
        assert_eq!(texts, ["0.0s", "9.9s", "59s", "60m"]);
    }
}

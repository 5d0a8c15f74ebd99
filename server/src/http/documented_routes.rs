//! The tables of requests in `docs/OPERATIONS.md` are all of the requests that there are.

use std::collections::BTreeSet;

use crate::http::control_scopes::CONTROL_SCOPES;
use crate::http::public_routes::PUBLIC_ROUTES;

/// What needs no token and is in neither table of routes: of both listeners, and of the control listener.
const HEALTH: &str = "GET /v1/health";
const METRICS: &str = "GET /metrics";

type Requests = BTreeSet<String>;

/// First cells of the table of requests in a section.
fn first_cells(page: &str, section: &str) -> Vec<String> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = page.split_once(&heading).expect("a section");
    let (_, table) = rest.split_once("\n| request |").expect("a table");
    let rows = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split_once(" |"));
    cells.map(|(cell, _)| cell.to_owned()).collect()
}

/// The requests that a cell names. `…/extend` goes on from the path before it.
fn requests_in(cell: &str) -> Vec<String> {
    let mut before = String::new();
    let codes = cell.split('`').skip(1).step_by(2);
    let request = |code: &str| {
        let (method, path) = code.split_once(' ')?;
        let path = path.split('?').next()?.replace('…', &before);
        before.clone_from(&path);
        Some(format!("{method} {path}"))
    };
    codes.filter_map(request).collect()
}

/// What a request is about: the last word of its path that is no verb and no name.
fn subject(request: &str) -> &str {
    let words = request.rsplit('/');
    let mut nouns = words.filter(|word| !word.starts_with('{') && *word != "extend");
    nouns.next().unwrap_or_default()
}

/// The requests of a table. A row "… as above" stands for those of an earlier table about what it names.
fn documented(page: &str, section: &str, above: &Requests) -> Requests {
    let mut found = Requests::new();
    for cell in first_cells(page, section) {
        let Some(subjects) = cell.strip_suffix(" as above") else {
            let requests = requests_in(&cell);
            assert!(!requests.is_empty(), "no request in {cell}");
            found.extend(requests);
            continue;
        };
        let subjects: Vec<&str> = subjects
            .split(", ")
            .flat_map(|it| it.split(" and "))
            .collect();
        for word in &subjects {
            assert!(
                above.iter().any(|it| subject(it) == *word),
                "no {word} above"
            );
        }
        let named = above.iter().filter(|it| subjects.contains(&subject(it)));
        found.extend(named.cloned());
    }
    found
}

#[test]
fn the_tables_of_requests_are_the_requests_that_there_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let page = std::fs::read_to_string(path).expect("docs/OPERATIONS.md");
    let public = documented(&page, "HTTP API", &Requests::new());
    let mut expect: Requests = PUBLIC_ROUTES
        .iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    expect.insert(HEALTH.to_owned());
    assert_eq!(public, expect);

    let control = documented(&page, "Control API", &public);
    let mut expect: Requests = CONTROL_SCOPES
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    expect.extend([HEALTH, METRICS].map(str::to_owned));
    assert_eq!(control, expect);
}

//! What is promised to clients, held to files: a change shows in review. `COFFER_BLESS=1` rewrites them.

use std::{collections::BTreeSet, fs, path::Path};

use coffer::testing::Instance;

fn held_to(path: &str, now: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("COFFER_BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, now).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == now,
        "{path} is stale: look at what changed, then run with COFFER_BLESS=1\n{}",
        difference(&golden, now)
    );
}

/// The first lines that differ.
fn difference(golden: &str, now: &str) -> String {
    let missing =
        golden.lines().filter(|it| !now.lines().any(|line| line == *it)).map(|it| format!("- {it}"));
    let added = now.lines().filter(|it| !golden.lines().any(|line| line == *it)).map(|it| format!("+ {it}"));
    missing.chain(added).take(20).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn routes_events_tables_refusals_and_machines_are_what_they_were() {
    let coffer = Instance::start().await;
    let catalogue = coffer.catalogue();
    for (name, lines) in [
        ("routes", catalogue.routes),
        ("events", catalogue.events),
        ("tables", catalogue.tables),
        ("refusals", catalogue.refusals),
    ] {
        held_to(&format!("tests/golden/{name}.txt"), &(lines.join("\n") + "\n"));
    }
    let machines = serde_json::to_string_pretty(&catalogue.machines).unwrap() + "\n";
    held_to("tests/golden/machines.json", &machines);
    held_to("docs/STATES.md", &drawn(&catalogue.machines));
}

/// A page with a drawing of each machine, as `stateDiagram-v2` of Mermaid (<https://mermaid.js.org>).
fn drawn(machines: &serde_json::Value) -> String {
    let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
    let mut page =
        "# State machines\n\nWritten by `COFFER_BLESS=1 cargo test --test it golden` from the tables that \
        `GET /api/v1/meta/state-machines` serves. An event that\nis not drawn is refused with 409 \
        `invalid_state_transition`, which names the events that are allowed.\n"
            .to_owned();
    for machine in machines.as_array().unwrap() {
        page += &format!("\n## {}\n\n```mermaid\nstateDiagram-v2\n", text(&machine["object"]));
        for state in machine["initial"].as_array().unwrap() {
            page += &format!("    [*] --> {}\n", text(state));
        }
        for row in machine["transitions"].as_array().unwrap() {
            page +=
                &format!("    {} --> {}: {}\n", text(&row["from"]), text(&row["to"]), text(&row["event"]));
        }
        for state in machine["final"].as_array().unwrap() {
            page += &format!("    {} --> [*]\n", text(state));
        }
        page += "```\n";
    }
    page
}

#[tokio::test]
async fn a_name_of_the_openapi_document_stands_for_one_thing() {
    let coffer = Instance::start().await;
    assert_eq!(coffer.catalogue().clashes, Vec::<String>::new());
}

/// Ids, amounts and states were once referred to and left out: no client could be generated.
#[tokio::test]
async fn every_reference_of_the_openapi_document_leads_somewhere() {
    let document = Instance::start().await.openapi();
    let text = document.to_string();
    let names = text.split("\"#/components/schemas/").skip(1).filter_map(|it| it.split('"').next());
    let lost: BTreeSet<&str> =
        names.filter(|it| document["components"]["schemas"].get(it).is_none()).collect();
    assert_eq!(lost, BTreeSet::new());
}

#[tokio::test]
async fn the_openapi_document_is_what_it_was() {
    let coffer = Instance::start().await;
    let document = serde_json::to_string_pretty(&coffer.openapi()).unwrap() + "\n";
    held_to("docs/openapi.json", &document);
}

//! `coffer import`: what a client had, made anew for another, from a file that `coffer export` wrote.
//!
//! It makes, through the same commands as the API and with their rules, what can honestly be made anew ([`RECIPES`]):
//!
//! | made | not made, because |
//! |---|---|
//! | the currencies it uses, categories, roles, limits, fees, plans, markets, templates | money: it would come from nowhere |
//! | users as they were: frozen, disabled, with their tier and who brought them; without passwords | gateways, keys, settings and policies: who may do what is decided by people |
//! | confirmed beneficiaries, which cool down anew | sessions, invitations, what waits for a second person |
//! | webhook endpoints, disabled: their secrets are made anew | |
//!
//! Nothing comes back looser than it was. What cannot come back as it was is left out, and said line by line; so is
//! what is there already and differs, which stays as it is. An import can therefore be repeated. Objects are known by
//! their code, key, name, pair or address, the others by their external id; one that had none gets its old id as one.
//! A dry run does all of it in one transaction, of which nothing is kept, and says of each line what would become of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Context,
    data::broken,
    exit::{Failure, PROBLEMS_FOUND, REFUSED},
    local::Backend,
    output::Answer,
};
use crate::kernel::api::whole::waits;

#[derive(Args)]
pub struct Import {
    /// A file that `coffer export` wrote
    file: PathBuf,
    /// Id or slug of the client it goes to
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
}

/// How the objects of a list are made anew.
struct Recipe {
    path: &'static str,
    /// What tells one from another.
    name: &'static [&'static str],
    /// The fields of the command that makes it.
    fields: &'static [&'static str],
    /// What is looked at of one that is there already.
    held: &'static [&'static str],
    /// With these it is refused where one that does the same is there already.
    taken: &'static [&'static str],
}

const CURRENCIES: &str = "/currencies";
const USERS: &str = "/users";
const BENEFICIARIES: &str = "/beneficiaries";
const MARKETS: &str = "/markets";
const FEES: &str = "/fees";
const PLANS: &str = "/plans";
const LIMITS: &str = "/limits";
const ENDPOINTS: &str = "/webhook-endpoints";

/// What is imported, in this order.
const RECIPES: &[Recipe] = &[
    Recipe { path: CURRENCIES, name: &["code"], fields: &[], held: &[], taken: &[] },
    Recipe {
        path: "/categories",
        name: &["key"],
        fields: &["key", "name", "is_active", "metadata"],
        held: &["is_active"],
        taken: &[],
    },
    Recipe {
        path: "/roles",
        name: &["name"],
        fields: &["name", "description", "permissions", "metadata"],
        held: &["permissions"],
        taken: &[],
    },
    Recipe {
        path: USERS,
        name: &["email"],
        fields: &["email", "first_name", "last_name", "phone", "roles", "tier", "metadata"],
        held: &["status", "tier", "roles"],
        taken: &[],
    },
    Recipe {
        path: BENEFICIARIES,
        name: &["external_id"],
        fields: &["label", "method", "metadata"],
        held: &[],
        taken: &["beneficiary_exists"],
    },
    Recipe {
        path: MARKETS,
        name: &["base", "quote"],
        fields: &[
            "base",
            "quote",
            "status",
            "feed",
            "stale_after_s",
            "max_deviation_percent",
            "decimals",
            "metadata",
        ],
        held: &["status", "stale_after_s", "max_deviation_percent"],
        taken: &[],
    },
    Recipe {
        path: FEES,
        name: &["external_id"],
        fields: &[
            "name",
            "operation",
            "currency",
            "to_currency",
            "user_tier",
            "percent",
            "fixed",
            "min",
            "max",
            "tiers",
            "metadata",
        ],
        held: &["status", "percent", "fixed", "min", "max", "tiers"],
        taken: &["fee_taken"],
    },
    Recipe {
        path: PLANS,
        name: &["external_id"],
        fields: &[
            "name",
            "type",
            "currency",
            "min_amount",
            "max_amount",
            "return_percent",
            "return_basis",
            "day_count",
            "cadence",
            "compounding",
            "term_days",
            "early_close_penalty_percent",
            "cooling_off_hours",
            "benefits",
            "metadata",
        ],
        held: &["status", "return_percent"],
        taken: &[],
    },
    Recipe {
        path: LIMITS,
        name: &["operation", "currency", "tier"],
        fields: &["operation", "currency", "tier", "min", "max", "per_24h", "per_30d"],
        held: &["min", "max", "per_24h", "per_30d"],
        taken: &[],
    },
    Recipe {
        path: "/notification-templates",
        name: &["event_type", "locale"],
        fields: &["event_type", "locale", "title", "message", "text", "html", "is_active", "metadata"],
        held: &["is_active", "title", "message", "text", "html"],
        taken: &[],
    },
    Recipe {
        path: ENDPOINTS,
        name: &["external_id"],
        fields: &["url", "event_types", "description", "rate_per_s", "metadata"],
        held: &["url"],
        taken: &[],
    },
];

const OF_ENDPOINTS: &str =
    "disabled, because its secret was made anew: rotate it, give the new one to the receiver, enable it";
const WAITS: &str = "some of it waits for a second person";

impl Import {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let file = File::open(&self.file).map_err(|error| broken(&self.file, error))?;
        let lines: Vec<String> = BufReader::new(file)
            .lines()
            .collect::<Result<_, _>>()
            .map_err(|error| broken(&self.file, error))?;
        let mut objects = vec![];
        for (number, line) in (1..).zip(&lines) {
            let line: Value =
                serde_json::from_str(line).map_err(|error| wrong(number, format!("is not JSON: {error}")))?;
            match (line["path"].as_str(), line["object"].is_object()) {
                (Some(path), true) => objects.push((number, path.to_owned(), line["object"].clone())),
                _ => return Err(wrong(number, "is no line of an export".to_owned())),
            }
        }

        // A rehearsal is a write of which nothing is kept.
        let backend = if self.dry_run { context.by_hand().await? } else { context.changing().await? };
        let client = backend.client_id(&self.client).await?;
        let mut steps = plan(&backend, &client, &objects).await?;
        if self.dry_run {
            rehearse(&backend, &client, &mut steps).await?;
        } else {
            carry_out(&backend, &client, &mut steps).await?;
        }
        let mut others: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, path, _) in objects.iter().filter(|it| !RECIPES.iter().any(|list| list.path == it.1)) {
            *others.entry(path).or_default() += 1;
        }
        Ok(said(&steps, &others, self.dry_run))
    }
}

/// An object of the file and what becomes of it.
struct Step {
    line: usize,
    recipe: &'static Recipe,
    name: String,
    /// The command that makes it; `None` when it is not made.
    body: Option<Value>,
    /// Fields of the body that are ids of what other steps make.
    of: Vec<(&'static str, usize)>,
    /// Verbs that bring it to where it was.
    then: &'static [&'static str],
    outcome: Outcome,
    /// What there is to say about it.
    note: Option<String>,
}

enum Outcome {
    Made(Option<String>),
    ThereAlready,
    /// It cannot come back as it was: `note` says why.
    LeftOut,
    Refused {
        code: String,
        detail: String,
    },
}

impl Step {
    fn refused(&mut self, code: &str, detail: &str) {
        // Only the command knows: it does what another one does, or was imported before.
        let is_there = self.recipe.taken.contains(&code)
            || code == "external_id_taken" && self.recipe.name == ["external_id"];
        self.outcome = if is_there {
            Outcome::ThereAlready
        } else {
            Outcome::Refused { code: code.to_owned(), detail: detail.to_owned() }
        };
    }

    /// The path of the command that makes it.
    fn path(&self) -> String {
        match self.recipe.path {
            CURRENCIES => format!("{CURRENCIES}/{}/activate", self.name),
            path => path.to_owned(),
        }
    }

    fn is_put(&self) -> bool {
        self.recipe.path == LIMITS
    }
}

/// What is to be done, in an order in which it can be.
async fn plan(
    backend: &Backend,
    client: &str,
    objects: &[(usize, String, Value)],
) -> Result<Vec<Step>, Failure> {
    let mut steps: Vec<Step> = vec![];
    // Users by their ids of before: their ids here, or the steps that make them.
    let mut users: BTreeMap<&str, Result<String, usize>> = BTreeMap::new();
    for recipe in RECIPES {
        let mut there = known(backend, client, recipe).await?;
        let mut own: Vec<_> =
            objects.iter().filter(|it| it.1 == recipe.path && is_in_use(&it.1, &it.2)).collect();
        // Ids are in the order of time: who brought somebody comes before whom it brought. A rule for all comes before
        // those of tiers.
        own.sort_by_key(|it| (!it.2["tier"].is_null() && recipe.path == LIMITS, text_of(&it.2, "id")));
        for (line, _, object) in own {
            let name = name_of(recipe, object)
                .ok_or_else(|| wrong(*line, format!("has no {}", recipe.name.join(" and no "))))?;
            let mut step = Step {
                line: *line,
                recipe,
                name: name.clone(),
                body: None,
                of: vec![],
                then: &[],
                outcome: Outcome::ThereAlready,
                note: None,
            };
            let old_id = object["id"].as_str().unwrap_or_default();
            if let Some(other) = there.get(&name.to_lowercase()) {
                if recipe.path == USERS {
                    users.insert(old_id, Ok(text_of(other, "id")));
                }
                step.note = difference(recipe, object, other);
                steps.push(step);
                continue;
            }
            there.insert(name.to_lowercase(), object.clone());
            if let Some(why) = lost(recipe.path, object) {
                (step.outcome, step.note) = (Outcome::LeftOut, Some(why));
                steps.push(step);
                continue;
            }
            let mut body = anew(recipe, object);
            if recipe.path == USERS {
                users.insert(old_id, Err(steps.len()));
            }
            for field in ["user_id", "referred_by"] {
                let Some(old) = object[field].as_str() else { continue };
                let known = users.get(old).ok_or_else(|| {
                    wrong(*line, format!("names a user that is not in the file: {old}. Export both"))
                })?;
                match known {
                    Ok(id) => body[field] = id.clone().into(),
                    Err(at) => step.of.push((field, *at)),
                }
            }
            step.then = verbs(recipe.path, object);
            if recipe.path == ENDPOINTS {
                step.note = Some(OF_ENDPOINTS.to_owned());
            }
            step.body = Some(body);
            steps.push(step);
        }
    }
    Ok(steps)
}

/// What a client never used, or put out of use for good, is no part of it; what comes with the product is there.
fn is_in_use(path: &str, object: &Value) -> bool {
    let not_for_sale =
        (path == FEES && object["status"] == "inactive") || (path == PLANS && object["status"] == "closed");
    let unused = path == CURRENCIES && object["is_active"] == false;
    let built_in = object["is_built_in"] == true;
    !(not_for_sale || unused || built_in)
}

/// Why it cannot come back as it was.
fn lost(path: &str, object: &Value) -> Option<String> {
    match path {
        BENEFICIARIES if object["status"] != "confirmed" => {
            Some("its user has not confirmed it: it is added anew, by its user".to_owned())
        }
        FEES if object["gateway_id"].is_string() => {
            let gateway = text_of(object, "gateway_id");
            Some(format!("it is of {gateway}, and gateways are made by hand: make the rule with the new one"))
        }
        _ => None,
    }
}

/// What is done to it after it was made: it begins as nothing that is on offer.
fn verbs(path: &str, object: &Value) -> &'static [&'static str] {
    match object["status"].as_str() {
        Some("published") if path == PLANS => &["publish"],
        Some("paused") if path == PLANS => &["publish", "pause"],
        _ => &[],
    }
}

/// In what it differs from the one that is there.
fn difference(recipe: &Recipe, object: &Value, there: &Value) -> Option<String> {
    // In JSON lists of names have an order, among permissions and roles it means nothing.
    let sorted = |it: &Value| match it {
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
            items.sort();
            Value::from(items)
        }
        other => other.clone(),
    };
    let differs = |it: &&&str| sorted(&object[**it]) != sorted(&there[**it]);
    let said = |it: &&str| format!("{it} is {} in the file and {} here", object[*it], there[*it]);
    let all: Vec<String> = recipe.held.iter().filter(differs).map(said).collect();
    (!all.is_empty()).then(|| format!("stays as it is: {}", all.join(", ")))
}

/// Does it, one command after the other. Stops at the first that is refused.
async fn carry_out(backend: &Backend, client: &str, steps: &mut [Step]) -> Result<(), Failure> {
    for at in 0..steps.len() {
        let Some(mut body) = steps[at].body.take() else { continue };
        for (field, other) in &steps[at].of {
            if let Outcome::Made(Some(id)) = &steps[*other].outcome {
                body[*field] = id.clone().into();
            }
        }
        let step = &mut steps[at];
        let ask =
            if step.is_put() { backend.put(step.path(), body) } else { backend.post(step.path(), body) };
        let (status, answer) = ask.client(Some(client)).exchange().await?;
        if !(200..300).contains(&status) {
            step.refused(answer["code"].as_str().unwrap_or_default(), "");
            match step.outcome {
                Outcome::Refused { .. } => {
                    return Err(at_line(step.line, Failure::of_problem(status, answer)));
                }
                _ => continue,
            }
        }
        if waits(&answer) {
            step.note = Some(WAITS.to_owned());
        }
        for verb in step.then {
            let path = format!("{}/{}/{verb}", step.recipe.path, text_of(&answer, "id"));
            let then = backend.post(path, json!({})).client(Some(client)).send().await;
            then.map_err(|failure| at_line(step.line, failure))?;
        }
        step.outcome = Outcome::Made(answer["id"].as_str().map(str::to_owned));
    }
    Ok(())
}

/// Asks what would become of all of it.
async fn rehearse(backend: &Backend, client: &str, steps: &mut [Step]) -> Result<(), Failure> {
    // Of a step, the places of its commands among the commands.
    let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut commands = vec![];
    for (at, step) in steps.iter_mut().enumerate() {
        let Some(mut body) = step.body.take() else { continue };
        for (field, other) in &step.of {
            // A command that is prepared is so before there are ids; nothing is refused for who brought somebody.
            let place = places.get(other).and_then(|it| it.first()).filter(|_| step.recipe.path != USERS);
            if let Some(place) = place {
                body[*field] = json!({ "id_of": place });
            }
        }
        let first = commands.len();
        let method = if step.is_put() { "PUT" } else { "POST" };
        commands.push(json!({ "method": method, "path": step.path(), "body": body }));
        for verb in step.then {
            let path = format!("{}/{{{first}}}/{verb}", step.recipe.path);
            commands.push(json!({ "path": path, "body": {} }));
        }
        places.insert(at, (first..commands.len()).collect());
    }
    let ask = backend.post("/rehearsals", json!({ "commands": commands })).client(Some(client));
    let answer = ask.send().await?;
    for (at, places) in places {
        let tried = |place: &usize| &answer["data"][*place];
        let step = &mut steps[at];
        match places.iter().map(tried).find(|it| it["code"].is_string()) {
            None => {
                step.outcome = Outcome::Made(None);
                if places.iter().any(|it| tried(it)["waits"] == true) {
                    step.note = Some(WAITS.to_owned());
                }
            }
            Some(it) => step.refused(&text_of(it, "code"), &text_of(it, "detail")),
        }
    }
    Ok(())
}

/// What became of it, list by list and line by line.
fn said(steps: &[Step], others: &BTreeMap<&str, u64>, dry_run: bool) -> Answer {
    let name = |it: &Outcome| match it {
        Outcome::Made(_) => "made",
        Outcome::ThereAlready => "there_already",
        Outcome::LeftOut => "left_out",
        Outcome::Refused { .. } => "refused",
    };
    let row = |recipe: &Recipe| {
        let mut row = json!({ "path": recipe.path });
        for outcome in ["made", "there_already", "left_out", "refused"] {
            let is = |it: &&Step| it.recipe.path == recipe.path && name(&it.outcome) == outcome;
            row[outcome] = steps.iter().filter(is).count().into();
        }
        row
    };
    let rows: Vec<Value> = RECIPES.iter().map(row).collect();
    let line = |it: &Step| {
        let (code, detail) = match &it.outcome {
            Outcome::Refused { code, detail } => (Some(code), Some(detail)),
            _ => (None, it.note.as_ref()),
        };
        json!({
            "line": it.line, "path": it.recipe.path, "name": it.name, "outcome": name(&it.outcome), "code": code,
            "detail": detail,
        })
    };
    let lines: Vec<Value> = steps.iter().map(line).collect();
    let left = |(path, objects): (&&str, &u64)| json!({ "path": path, "objects": objects });
    let left: Vec<Value> = others.iter().map(left).collect();
    let value = json!({
        "object": "import", "dry_run": dry_run, "data": rows, "lines": lines, "not_imported": left,
    });
    let mut answer =
        Answer::list(value, &["path", "made", "there_already", "left_out", "refused"], "Nothing.");
    let mut is_whole = true;
    for Step { line, recipe, name: of, outcome, note, .. } in steps {
        let what = match (outcome, note) {
            (Outcome::Refused { code, detail }, _) => format!("{detail} ({code})"),
            (Outcome::LeftOut, Some(note)) => format!("left out: {note}"),
            (_, Some(note)) => note.clone(),
            (_, None) => continue,
        };
        // What was made is as it was, or waits for people; the rest is not what the file says.
        is_whole &= matches!(outcome, Outcome::Made(_));
        answer = answer.followed_by(&format!("line {line}: {} {of}: {what}", recipe.path));
    }
    if !others.is_empty() {
        let all: Vec<String> = others.iter().map(|(path, objects)| format!("{objects} of {path}")).collect();
        let text = format!(
            "Not imported: {}. Money comes from payments; gateways, keys, settings and policies are made by hand.",
            all.join(", ")
        );
        answer = answer.followed_by(&text);
    }
    if dry_run {
        answer = answer.followed_by("Nothing was written: this was a rehearsal.");
    }
    answer.exits(if is_whole { 0 } else { PROBLEMS_FOUND })
}

/// The objects of a list that the client has, by what tells them from one another.
async fn known(backend: &Backend, client: &str, recipe: &Recipe) -> Result<BTreeMap<String, Value>, Failure> {
    let list = backend.list(recipe.path, Some(client), usize::MAX).await?;
    let mut there = BTreeMap::new();
    for object in list["data"].as_array().into_iter().flatten() {
        let is_one = recipe.path != CURRENCIES || object["is_active"] == true;
        let names =
            [name_of(recipe, object), (recipe.name == ["external_id"]).then(|| text_of(object, "id"))];
        for name in names.into_iter().flatten().filter(|_| is_one) {
            there.insert(name.to_lowercase(), object.clone());
        }
    }
    Ok(there)
}

/// What tells an object from another one. Without an external id it is known by its id.
fn name_of(recipe: &Recipe, object: &Value) -> Option<String> {
    let (first, others) = recipe.name.split_first()?;
    let by_id = if *first == "external_id" { object["id"].as_str() } else { None };
    let first = object[*first].as_str().or(by_id)?;
    let others = others.iter().filter_map(|it| object[*it].as_str());
    Some(std::iter::once(first).chain(others).collect::<Vec<_>>().join(" "))
}

/// The body that makes an object anew.
fn anew(recipe: &Recipe, object: &Value) -> Value {
    // For markets it means that any distance is right; what is left out would be the usual one.
    let counts_as_null = |field: &str| field == "max_deviation_percent";
    let given = recipe.fields.iter().filter(|it| !object[**it].is_null() || counts_as_null(it));
    let mut body: Map<String, Value> = given.map(|it| ((*it).to_owned(), object[*it].clone())).collect();
    if recipe.path != LIMITS {
        let external = if object["external_id"].is_string() { "external_id" } else { "id" };
        body.insert("external_id".to_owned(), object[external].clone());
    }
    match (recipe.path, object["status"].as_str()) {
        (CURRENCIES, _) => body.clear(),
        (USERS, Some(status)) if status != "active" => {
            let changes = object["status_history"].as_array();
            let last = changes.and_then(|it| it.last()).and_then(|it| it["reason"].as_str());
            body.insert("status".to_owned(), status.into());
            body.insert("reason".to_owned(), last.unwrap_or("imported like this").into());
        }
        (ENDPOINTS, _) => drop(body.insert("status".to_owned(), "disabled".into())),
        _ => {}
    }
    Value::Object(body)
}

fn text_of(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

fn at_line(line: usize, failure: Failure) -> Failure {
    Failure { message: format!("line {line}: {}", failure.message), ..failure }
}

fn wrong(number: usize, what: String) -> Failure {
    Failure::new(REFUSED, "not_an_export", format!("line {number} {what}"))
}

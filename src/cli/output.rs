//! What a command says: the same answer as a table for people and as JSON for programs.

use std::io::Write as _;

use comfy_table::{Table, presets};
use serde_json::Value;

/// What a command answers.
pub struct Answer {
    value: Value,
    text: String,
    /// 0 unless the command ran and found problems.
    pub exit: u8,
}

impl Answer {
    pub fn new(value: Value, text: impl Into<String>) -> Answer {
        Answer { value, text: text.into(), exit: 0 }
    }

    /// A list: `columns` of each object in `data`, dots lead inside. `nothing` stands where the list is empty.
    pub fn list(value: Value, columns: &[&str], nothing: &str) -> Answer {
        let rows = value.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text = if rows.is_empty() { nothing.to_owned() } else { table(rows, columns) };
        Answer::new(value, text)
    }

    /// One object, a field a line; those it does not have are left out.
    pub fn object(value: Value, fields: &[&str]) -> Answer {
        let text = lines(fields.iter().filter_map(|it| Some((*it, cell(inside(&value, it)?)))));
        Answer::new(value, text)
    }

    /// With the rows of a list inside it below the rest; nothing when there are none.
    pub fn above(mut self, rows: &Value, columns: &[&str]) -> Answer {
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        if !rows.is_empty() {
            self.text = format!("{}\n\n{}", self.text.trim_end(), table(rows, columns));
        }
        self
    }

    /// With another JSON than the table was made of.
    pub fn saying(mut self, value: Value) -> Answer {
        self.value = value;
        self
    }

    pub fn exits(mut self, exit: u8) -> Answer {
        self.exit = exit;
        self
    }

    pub fn followed_by(mut self, line: &str) -> Answer {
        self.text = format!("{}\n{line}", self.text.trim_end());
        self
    }

    /// Prints it. Whoever closed the pipe has read enough.
    pub fn print(&self, json: bool) {
        let mut stdout = std::io::stdout().lock();
        let _ = if json {
            writeln!(stdout, "{}", self.value)
        } else {
            writeln!(stdout, "{}", self.text.trim_end())
        };
        let _ = stdout.flush();
    }
}

/// Names and values, lined up.
pub fn lines<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|it| it.0.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn table(rows: &[Value], columns: &[&str]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|it| it.to_uppercase().replace(['_', '.'], " ")));
    for row in rows {
        table.add_row(columns.iter().map(|it| inside(row, it).map(cell).unwrap_or_default()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn inside<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name)).filter(|it| !it.is_null())
}

/// Text as it is, a list separated by commas, the rest as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_with_a_column_for_each_field() {
        let list = json!({ "data": [{ "id": "a", "is_on": true, "in": { "x": 1 } }, { "id": "long", "is_on": false }] });
        let answer = Answer::list(list, &["id", "is_on", "in.x"], "none");
        let lines: Vec<&str> = answer.text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["ID    IS ON  IN X", "a     yes    1", "long  no"]);
        assert_eq!(Answer::list(json!({ "data": [] }), &["id"], "none").text, "none");
    }

    #[test]
    fn an_object_shows_only_what_it_has() {
        let answer = Answer::object(
            json!({ "id": "a", "note": null, "scopes": ["x", "y"] }),
            &["id", "note", "scopes"],
        );
        assert_eq!(answer.text, "id      a\nscopes  x, y\n");
    }
}

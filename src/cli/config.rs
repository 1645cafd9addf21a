//! `coffer config`: what the settings are and where each comes from.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Context,
    exit::{CONFIGURATION, Failure},
    output::{Answer, lines},
};
use crate::{StartError, app::App};

#[derive(Subcommand)]
pub enum Config {
    /// Say whether the configuration is right, without starting
    Check,
    /// Show every setting; secrets are never among them, only the files they are in
    Show(Show),
}

#[derive(Args)]
pub struct Show {
    /// And where each was set: default, file and line, environment or command line
    #[arg(long)]
    origin: bool,
}

impl Config {
    pub fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Config::Check => Ok(check(context)),
            Config::Show(show) => show.run(context),
        }
    }
}

fn check(context: &Context) -> Answer {
    let checked = context.load(&[]).map_err(|error| error.problems).and_then(|loaded| {
        // What the layers cannot tell the modules can: which events, listeners and channels there are.
        match App::check(loaded.config.clone()) {
            Ok(()) => Ok(loaded),
            Err(StartError::Config(error)) => Err(error.problems),
            Err(error) => Err(vec![error.to_string()]),
        }
    });
    match checked {
        Ok(loaded) => {
            let file = loaded.file.map(|it| it.display().to_string());
            let text = match &file {
                Some(file) => format!("{file}: the configuration is right."),
                None => {
                    "There is no configuration file; the defaults and the environment are right.".to_owned()
                }
            };
            Answer::new(json!({ "ok": true, "file": file, "problems": [] }), text)
        }
        Err(problems) => {
            let value = json!({ "ok": false, "problems": problems });
            Answer::new(value, problems.join("\n")).exits(CONFIGURATION)
        }
    }
}

impl Show {
    fn run(&self, context: &Context) -> Result<Answer, Failure> {
        let settings = context.load(&[])?.show();
        let text = lines(settings.iter().map(|it| match self.origin {
            true => (&*it.key, format!("{}  ({})", it.value, it.origin)),
            false => (&*it.key, it.value.to_string()),
        }));
        let data = settings.iter().map(|it| match self.origin {
            true => json!({ "key": it.key, "value": it.value, "origin": it.origin }),
            false => json!({ "key": it.key, "value": it.value }),
        });
        Ok(Answer::new(json!({ "object": "list", "data": data.collect::<Vec<_>>() }), text))
    }
}

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");

/// A configuration file in a directory of its own, which goes when this value does.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new(config: &str) -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::write(scratch.path("config.toml"), config).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self) -> LoadOptions {
        LoadOptions { file: Some(self.path("config.toml")), ..LoadOptions::default() }
    }

    /// What is wrong with it, without the name of the directory.
    fn problems(&self, options: &LoadOptions) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        let problems = Config::load(options).expect_err("a refusal").problems;
        problems.into_iter().map(|problem| problem.replace(&directory, "")).collect()
    }
}

fn with_env(name: &str, value: &str) -> LoadOptions {
    LoadOptions { env: [(name.into(), value.into())].into(), ..LoadOptions::default() }
}

fn with_flag(key: &str, value: &str) -> LoadOptions {
    LoadOptions { overrides: vec![(key.into(), value.into())], ..LoadOptions::default() }
}

fn shown(loaded: &Loaded, key: &str) -> (String, Origin) {
    let line = loaded.show().into_iter().find(|line| line.key == key).expect("a known key");
    (line.value.to_string(), line.origin)
}

#[test]
fn the_shipped_file_says_what_is_true_without_it() {
    let options = LoadOptions { file: Some(SHIPPED.into()), ..LoadOptions::default() };
    let shipped = Config::load(&options).unwrap();
    assert_eq!(shipped.config, Config::default());
    for line in shipped.show() {
        let optional = line.value.is_null();
        assert_eq!(line.origin == Origin::Default, optional, "{} is missing, or set without need", line.key);
    }
}

#[test]
fn the_shipped_file_explains_every_key_as_the_code_does() {
    let shipped = fs::read_to_string(SHIPPED).unwrap();
    let mut rest = shipped.as_str();
    for info in CONFIG_KEYS {
        let comment: String = info.about().lines().map(|line| format!("# {line}\n")).collect();
        let name = info.key.rsplit('.').next().unwrap();
        let found = [format!("\n\n{comment}{name} = "), format!("\n\n{comment}# {name} = ")]
            .iter()
            .find_map(|text| rest.split_once(text.as_str()));
        let Some((_, after)) = found else {
            panic!("config.toml lacks, or has in another order:\n\n{comment}{name} = …")
        };
        rest = after;
    }
}

#[test]
fn the_examples_of_the_shipped_file_are_accepted() {
    let shipped = fs::read_to_string(SHIPPED).unwrap();
    let is_example = |line: &str| {
        CONFIG_KEYS.iter().any(|info| {
            let name = info.key.rsplit('.').next().unwrap();
            line.starts_with(&format!("# {name} = "))
        })
    };
    let uncommented = shipped.lines().map(|line| if is_example(line) { &line[2..] } else { line });
    let scratch = Scratch::new(&uncommented.collect::<Vec<_>>().join("\n"));
    let loaded = Config::load(&scratch.options()).unwrap();
    for line in loaded.show() {
        assert!(!line.value.is_null() && line.origin != Origin::Default, "{} has no example", line.key);
    }
}

#[test]
fn a_later_layer_wins_and_every_value_knows_its_origin() {
    let scratch = Scratch::new("[log]\nlevel = \"warn\"\nformat = \"json\"\n\n[events]\ntries = 4\n");
    let mut options = scratch.options();
    options.env.insert("COFFER_LOG__LEVEL".into(), "debug".into());
    options.env.insert("COFFER_EVENTS__TRIES".into(), "5".into());
    options.overrides.push(("events.tries".into(), "6".into()));

    let loaded = Config::load(&options).unwrap();
    let file = scratch.path("config.toml");
    assert_eq!(loaded.file.as_ref(), Some(&file));
    for (key, value, origin) in [
        ("events.tries", "6", Origin::Flag),
        ("log.level", "\"debug\"", Origin::Env("COFFER_LOG__LEVEL".into())),
        ("log.format", "\"json\"", Origin::File(file, 3)),
        ("events.backoff", "[30,60,120]", Origin::Default),
        ("server.listen", "\"127.0.0.1:8080\"", Origin::Default),
        ("server.socket", "null", Origin::Default),
    ] {
        assert_eq!(shown(&loaded, key), (value.to_owned(), origin), "{key}");
    }
}

#[test]
fn every_key_can_be_set_in_the_environment_and_on_the_command_line() {
    for line in (Loaded { config: Config::default(), origins: BTreeMap::new(), file: None }).show() {
        let info = CONFIG_KEYS.iter().find(|info| info.key == line.key).unwrap();
        // A default is a good value; the optional keys have their own tests.
        if !line.value.is_null() {
            let value = line.value.to_string();
            let env = Config::load(&with_env(&info.env_name(), &value)).unwrap();
            assert_eq!(env.origins[info.key], Origin::Env(info.env_name()));
            let flag = Config::load(&with_flag(info.key, &value)).unwrap();
            assert_eq!(flag.origins[info.key], Origin::Flag);
        }
    }
}

#[test]
fn words_outside_of_a_file_need_no_quotes() {
    let load = |key: &str, words: &str| Config::load(&with_flag(key, words)).unwrap().config;
    assert_eq!(load("server.listen", "[::1]:0").server.listen, Listen::Tcp("[::1]:0".parse().unwrap()));
    assert_eq!(load("server.listen", "unix:/run/c.sock").server.listen, Listen::Unix("/run/c.sock".into()));
    assert_eq!(load("storage.commit", "fast").storage.commit, Commit::Fast);
    assert_eq!(load("storage.commit", "\"fast\"").storage.commit, Commit::Fast);
    assert_eq!(load("storage.path", "2024").storage.path, Path::new("2024"));
    assert_eq!(load("events.enabled", "false").events, Events { enabled: false, ..Events::default() });
    assert_eq!(load("events.backoff", "[1, 2]").events.backoff, [1, 2]);
}

#[test]
fn the_first_usual_place_with_a_file_counts() {
    let scratch = Scratch::new("[events]\ntries = 9\n");
    let search = vec![scratch.path("absent.toml"), scratch.path("config.toml")];
    let loaded = Config::load(&LoadOptions { search, ..LoadOptions::default() }).unwrap();
    assert_eq!((loaded.config.events.tries, loaded.file), (9, Some(scratch.path("config.toml"))));

    let loaded = Config::load(&LoadOptions::default()).unwrap();
    assert_eq!((loaded.config, loaded.file), (Config::default(), None));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let scratch = Scratch::new("");
    let options = LoadOptions { file: Some(scratch.path("absent.toml")), ..LoadOptions::default() };
    let problems = scratch.problems(&options);
    assert_eq!(
        problems,
        ["absent.toml: the configuration cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let scratch = Scratch::new(
        "port = 80\n[server]\nlisen = \"127.0.0.1:80\"\nrequest_timeout_s = \"30\"\n[srever]\n\
         [events]\ntries = 0\nbackoff = []\n[events.user_registered]\ntires = 4\nmode = \"later\"\n[events.a.listeners.b]\ntries = 0\n[events.x.listeners]\n",
    );
    let mut options = scratch.options();
    options.env.insert("COFFER_LOG__LEVLE".into(), "info".into());
    options.env.insert("COFFER_AUTH__LOCK_MINUTES".into(), "soon".into());
    options.env.insert("COFFER_auth__lock_minutes".into(), "15".into());
    options.env.insert("COFFER_TOKEN".into(), "not a setting: no double underscore".into());
    options.overrides.push(("storage.comit".into(), "fast".into()));
    options.overrides.push(("storage.commit".into(), "slow".into()));
    // The right value of a later layer does not excuse the wrong one below it.
    options.overrides.push(("events.tries".into(), "3".into()));
    assert_eq!(
        scratch.problems(&options),
        [
            "config.toml:1: port: there is no such key",
            "config.toml:3: server.lisen: there is no such key; did you mean server.listen?",
            "config.toml:5: srever: there is no such key",
            "config.toml:10: events.user_registered.tires: there is no such key; did you mean events.user_registered.tries?",
            "config.toml:14: events.x.listeners: there is no such key",
            "environment COFFER_LOG__LEVLE: there is no such setting; did you mean COFFER_LOG__LEVEL?",
            "environment COFFER_auth__lock_minutes: there is no such setting; \
         did you mean COFFER_AUTH__LOCK_MINUTES?",
            "command line: storage.comit: there is no such key; did you mean storage.commit?",
            "config.toml:4: server.request_timeout_s: found \"30\", wanted a whole number from 1 to 600",
            "config.toml:7: events.tries: found 0, wanted a whole number from 1 to 50",
            "config.toml:8: events.backoff: found [], wanted at least one delay",
            "config.toml:11: events.user_registered.mode: found \"later\", wanted \"sync\", \"queue\" or \"scheduled\"",
            "config.toml:13: events.a.listeners.b.tries: found 0, wanted a whole number from 1 to 50",
            "environment COFFER_AUTH__LOCK_MINUTES: auth.lock_minutes: found \"soon\", \
         wanted a whole number from 1 to 1440",
            "command line: storage.commit: found \"slow\", wanted \"safe\" or \"fast\"",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_line() {
    for (text, problem) in [
        ("[log]\nlevel = info\n", "config.toml:2: not TOML: "),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"\n", "config.toml:3: not TOML: "),
        ("[auth]\nlock_minutes = 99999999999999999999\n", "config.toml:2: auth.lock_minutes: "),
        ("server = 3\n", "config.toml:1: server: found 3, wanted the section [server]"),
        ("[server.listen]\n", "config.toml:1: server.listen: found {}, wanted an IP address"),
        ("[log]\nlevel = 2024-01-02\n", "config.toml:2: log.level: found 2024-01-02, wanted off, error"),
    ] {
        let scratch = Scratch::new(text);
        let problems = scratch.problems(&scratch.options());
        assert!(problems[0].starts_with(problem), "{text}{problems:?}");
    }
}

#[test]
fn wrong_values_are_refused_with_what_was_wanted() {
    for (key, value, wanted) in [
        ("server.listen", "localhost", "an IP address and port such as"),
        ("server.listen", "unix:", "an IP address and port such as"),
        ("server.public_url", "https://pay.example.com/", "an address such as"),
        ("server.max_connections", "-1", "a whole number from 1 to 65535"),
        ("server.max_body_bytes", "1.5", "a whole number from 1024 to 16777216"),
        ("server.trusted_proxies", "10.0.0.0/8", "a list in brackets"),
        ("server.trusted_proxies", "[\"10.0.0.0/40\"]", "each one to be a network such as"),
        ("server.cors_origins", "[\"*\"]", "each one to be an origin such as"),
        ("storage.path", "", "a path"),
        ("log.level", "inof", "off, error, warn"),
        ("idempotency.keep_days", "0", "a whole number from 1 to 365"),
        ("bootstrap.operator_email", "ops", "an e-mail address"),
        ("events.enabled", "yes", "true or false"),
        ("events.backoff", "[30, -1]", "each one to be a whole number from 0 to 604800"),
    ] {
        let refusal = Config::load(&with_flag(key, value)).expect_err(key).to_string();
        assert!(refusal.starts_with(&format!("command line: {key}: found ")), "{refusal}");
        assert!(refusal.contains(&format!(", wanted {wanted}")), "{refusal}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let long = "d/".repeat(60);
    for (settings, problem) in [
        (&[("server.request_timeout_s", "3")][..], "server.header_timeout_s: found 5, wanted at most"),
        (&[("server.listen", "unix:data/coffer.sock")], "server.listen and server.socket: found the same"),
        (&[("bootstrap.operator_email", "ops@example.com")], "bootstrap.operator_email and bootstrap."),
        (&[("storage.path", &format!("{long}coffer.redb"))], "server.socket: d/d/"),
    ] {
        let overrides = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let options = LoadOptions { overrides, ..LoadOptions::default() };
        let refusal = Config::load(&options).expect_err(problem).to_string();
        assert!(refusal.starts_with(problem), "{refusal}");
    }
}

#[test]
fn what_belongs_to_the_database_stands_beside_it() {
    let paths = |path: &str| {
        let config = Config::load(&with_flag("storage.path", path)).unwrap().config;
        (config.data_dir().to_owned(), config.socket_path(), config.key_file())
    };
    assert_eq!(
        paths("/var/lib/coffer/x.redb"),
        ("/var/lib/coffer".into(), "/var/lib/coffer/x.sock".into(), "/var/lib/coffer/x.redb.key".into())
    );
    assert_eq!(paths("x.redb"), (".".into(), "x.sock".into(), "x.redb.key".into()));
}

#[test]
fn the_cache_is_as_large_as_asked_or_as_suits_the_machine() {
    let cache = |mb: &str| Config::load(&with_flag("storage.cache_mb", mb)).unwrap().config.cache_bytes();
    assert_eq!(cache("100"), 100 << 20);
    assert!((16 << 20..=1024 << 20).contains(&cache("0")));
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_the_remedy() {
    let scratch = Scratch::new("");
    let file = scratch.path("password");
    fs::write(&file, "correct horse\nbattery\n").unwrap();
    let mut options = scratch.options();
    options.overrides = vec![
        ("bootstrap.operator_email".into(), "ops@example.com".into()),
        ("bootstrap.operator_password_file".into(), file.display().to_string()),
        ("storage.key_file".into(), file.display().to_string()),
    ];
    for mode in [0o644, 0o640, 0o604, 0o620] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let problem = format!("password has mode {mode:04o}, wanted one for its owner only");
        let remedy = "run `chmod 600 password`";
        assert_eq!(
            scratch.problems(&options),
            [
                format!("storage.key_file: {problem}; {remedy}"),
                format!("bootstrap.operator_password_file: {problem}; {remedy}"),
            ]
        );
        assert!(read_secret_file(&file).is_err());
    }

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = Config::load(&options).unwrap();
    assert_eq!(read_secret_file(&file).unwrap(), "correct horse");
    assert!(!format!("{:?}{loaded:?}", loaded.show()).contains("horse"));

    fs::write(&file, "\n").unwrap();
    assert!(read_secret_file(&file).unwrap_err().to_string().ends_with("wanted a secret"));
    // Deleted after the first start, it stops nothing but its own use.
    fs::remove_file(&file).unwrap();
    assert!(Config::load(&options).is_ok() && read_secret_file(&file).is_err());
}

#[test]
fn a_secret_under_a_wrong_name_is_not_repeated_in_the_refusal() {
    let scratch = Scratch::new("[bootstrap]\noperator_password = \"hunter2\"\n");
    let mut options = scratch.options();
    options.env.insert("COFFER_BOOTSTRAP__OPERATOR_PASSWORD".into(), "hunter2".into());
    options.overrides.push(("bootstrap.operator_password".into(), "hunter2".into()));
    let problems = scratch.problems(&options);
    assert!(
        problems.len() == 3 && problems.iter().all(|problem| !problem.contains("hunter2")),
        "{problems:?}"
    );
}

#[test]
fn a_proxy_is_recognised_by_its_network() {
    let flag = with_flag("server.trusted_proxies", "[\"10.0.0.0/8\", \"::1\"]");
    let proxies = Config::load(&flag).unwrap().config.server.trusted_proxies;
    let trusted = |address: &str| proxies.iter().any(|proxy| proxy.contains(address.parse().unwrap()));
    assert!(trusted("10.1.2.3") && trusted("::ffff:10.1.2.3") && trusted("::1"));
    assert!(!trusted("11.1.2.3") && !trusted("::2"));
}

#[test]
fn a_key_gives_the_name_of_its_variable() {
    let info = &CONFIG_KEYS[0];
    assert_eq!((info.key, info.env_name().as_str()), ("server.listen", "COFFER_SERVER__LISTEN"));
    assert!(info.about().starts_with("Where the API and the console are served"));
}

#[test]
fn what_is_said_about_an_event_is_kept_with_its_origin() {
    let scratch = Scratch::new(
        "[events.user_registered]\nmode = \"scheduled\"\nfrequency = \"30 2 * * * Europe/Berlin\"\n\
         priority = \"high\"\nqueue = \"mail\"\n\
         [events.user_registered.listeners.notification_tell]\ntries = 5\nbackoff = [1, 2]\ntimeout_s = 9\n",
    );
    let mut options = scratch.options();
    options.env.insert("COFFER_EVENTS__USER_REGISTERED__PRIORITY".into(), "low".into());
    options.overrides.push(("events.user_registered.listeners.notification_tell.tries".into(), "7".into()));
    let loaded = Config::load(&options).unwrap();
    let rule = &loaded.config.event_rules["user_registered"];
    assert_eq!((rule.rule.mode, rule.rule.queue.as_deref()), (Some(EventMode::Scheduled), Some("mail")));
    let listener = &rule.listeners["notification_tell"];
    assert_eq!((listener.tries, listener.timeout_s), (Some(7), Some(9)));
    let file = |line| Origin::File(scratch.path("config.toml"), line);
    let prefix = "events.user_registered";
    for (key, value, origin) in [
        ("frequency", "\"30 2 * * * Europe/Berlin\"", file(3)),
        ("priority", "\"low\"", Origin::Env("COFFER_EVENTS__USER_REGISTERED__PRIORITY".into())),
        ("listeners.notification_tell.tries", "7", Origin::Flag),
        ("listeners.notification_tell.backoff", "[1,2]", file(8)),
    ] {
        assert_eq!(shown(&loaded, &format!("{prefix}.{key}")), (value.to_owned(), origin), "{key}");
    }
}

#[test]
fn a_wrong_setting_of_an_event_is_refused_with_what_was_wanted() {
    for (key, value, wanted) in [
        ("events.a_b.mode", "later", "\"sync\", \"queue\" or \"scheduled\""),
        ("events.a_b.priority", "urgent", "\"critical\", \"high\""),
        ("events.a_b.frequency", "61 * * * *", "immediate, hourly, daily"),
        ("events.a_b.frequency", "0 2 * * * Mars/Olympus", "immediate, hourly, daily"),
        ("events.a_b.queue", "two words", "the name of a queue"),
        ("events.a_b.listeners.c.tries", "0", "a whole number from 1 to 50"),
        ("events.a_b.listeners.c.backoff", "[]", "at least one delay"),
        ("events.a_b.listeners.c.timeout_s", "0", "a whole number from 1 to 3600"),
    ] {
        let refusal = Config::load(&with_flag(key, value)).expect_err(key).to_string();
        assert!(refusal.starts_with(&format!("command line: {key}: found ")), "{refusal}");
        assert!(refusal.contains(&format!(", wanted {wanted}")), "{refusal}");
    }
}

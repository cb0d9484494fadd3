//! Where does each URL's body go? To standard output or a file of its own: `-o` and `-O`, one for each URL, as curl takes them.

use super::failure::{Failure, say};
use super::options;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, ValueHint, value_parser};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use url::Url;

/// What `-o`, `-O` and their relatives say.
#[derive(Debug)]
pub struct Outputs {
    /// One for each URL from the first on; `None` is named after the URL.
    each: Vec<Option<PathBuf>>,
    remote_name_all: bool,
    dir: Option<PathBuf>,
    create_dirs: bool,
    no_clobber: bool,
}

const FILE: &str = "output";
const REMOTE: &str = "remote-name";
const ALL: &str = "remote-name-all";
const DIR: &str = "output-dir";
const CREATE: &str = "create-dirs";
const KEEP: &str = "no-clobber";

impl clap::Args for Outputs {
    fn augment_args(command: Command) -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        command
            .arg(
                Arg::new(FILE)
                    .short('o')
                    .long(FILE)
                    .value_name("FILE")
                    .value_hint(ValueHint::FilePath)
                    .value_parser(value_parser!(PathBuf))
                    .action(ArgAction::Append)
                    .help(
                        "Write the body to FILE, - for standard output; the nth -o or -O is for the nth URL",
                    ),
            )
            .arg(
                Arg::new(REMOTE)
                    .short('O')
                    .long(REMOTE)
                    .num_args(0)
                    .default_missing_value("")
                    .value_parser(value_parser!(OsString))
                    .action(ArgAction::Append)
                    .help("Write the body to a file that is called as the URL's path ends"),
            )
            .arg(flag(ALL).help("As if -O was given for each URL that has no -o"))
            .arg(
                Arg::new(DIR)
                    .long(DIR)
                    .value_name("DIR")
                    .value_hint(ValueHint::DirPath)
                    .value_parser(value_parser!(PathBuf))
                    .help("Write the files to this directory"),
            )
            .arg(flag(CREATE).help("Make the directories that the files are to be in"))
            .arg(flag(KEEP).help("Overwrite no file: end before anything is fetched if there is one"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Outputs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Outputs, clap::Error> {
        let places = |name| matches.indices_of(name).into_iter().flatten();
        let files = matches.get_many::<PathBuf>(FILE).into_iter().flatten().cloned();
        let mut each: Vec<(usize, Option<PathBuf>)> = places(FILE).zip(files.map(Some)).collect();
        each.extend(places(REMOTE).map(|place| (place, None)));
        each.sort_by_key(|(place, _)| *place);
        Ok(Outputs {
            each: each.into_iter().map(|(_, file)| file).collect(),
            remote_name_all: matches.get_flag(ALL),
            dir: matches.get_one::<PathBuf>(DIR).cloned(),
            create_dirs: matches.get_flag(CREATE),
            no_clobber: matches.get_flag(KEEP),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Outputs {
    /// The file that each URL's body goes to; `None` is standard output. Nothing is made but directories.
    ///
    /// # Errors
    /// There are more outputs than URLs, two bodies would go to one file, or one cannot be written.
    pub fn of(&self, urls: &[&str]) -> Result<Vec<Option<PathBuf>>, Failure> {
        let wrong = |why: String| Err(Failure::usage(why));
        if self.each.len() > urls.len() {
            return wrong(format!("{} -o or -O for {} URLs: leave some out", self.each.len(), urls.len()));
        }
        let named = |n: usize| match self.each.get(n) {
            Some(Some(file)) if file.as_os_str() == "-" => Ok(None),
            Some(Some(file)) => Ok(Some(file.clone())),
            None if !self.remote_name_all => Ok(None),
            Some(None) | None => remote_name(urls[n]).map(|name| Some(name.into())),
        };
        let mut files = Vec::new();
        let mut taken: HashMap<Where, &str> = HashMap::new();
        for (n, url) in urls.iter().enumerate() {
            let Some(file) = named(n)? else {
                files.push(None);
                continue;
            };
            let path = self.dir.as_ref().map_or_else(|| file.clone(), |dir| dir.join(&file));
            if self.create_dirs
                && let Some(parent) = path.parent()
            {
                std::fs::create_dir_all(parent)
                    .map_err(|e| Failure::writing(&parent.display().to_string(), &e))?;
            }
            options::writable("-o", &path)?;
            if let Some(other) = taken.insert(Where::of(&path), url).filter(|_| !is_device(&path)) {
                return wrong(format!(
                    "{other} and {url} would both go to {}: give each its own -o",
                    path.display()
                ));
            }
            if path.exists() && !is_device(&path) {
                if self.no_clobber {
                    return wrong(format!("--no-clobber: {} exists", path.display()));
                }
                say(&format!("{} is overwritten", path.display()));
            }
            files.push(Some(path));
        }
        Ok(files)
    }
}

/// Which file a path leads to, by whatever name: one that is there, or the place where one would be made.
#[derive(PartialEq, Eq, Hash)]
enum Where {
    There(u64, u64),
    Free(PathBuf),
}

/// Symbolic links that lead to each other have no end.
const LINKS: usize = 40;

impl Where {
    fn of(path: &Path) -> Where {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            if let Ok(found) = path.metadata() {
                return Where::There(found.dev(), found.ino());
            }
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match path.read_link() {
                // A link to what is not there yet.
                Ok(target) => path = parent.join(target),
                Err(_) => {
                    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
                    return Where::Free(parent.join(path.file_name().unwrap_or_default()));
                }
            }
        }
        Where::Free(path)
    }
}

/// A terminal, a pipe or /dev/null keeps nothing that could be overwritten.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file())
}

/// The last part of the URL's path, encoded as it is.
fn remote_name(url: &str) -> Result<String, Failure> {
    let parsed = Url::parse(url).ok();
    let last = parsed.as_ref().and_then(|url| url.path_segments()?.next_back().map(str::to_owned));
    last.filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::usage(format_args!("-O {url}: its path ends with no name: take -o FILE")))
}

#[cfg(test)]
mod tests {
    use crate::cli::args::{Cli, Command as Sub};
    use clap::Parser;

    fn outputs(args: &str) -> Result<Vec<Option<String>>, String> {
        let line = ["tcpglass", "get"].into_iter().chain(args.split(' '));
        let Sub::Get(get) = Cli::try_parse_from(line).map_err(|e| e.to_string())?.command else { panic!() };
        let urls: Vec<&str> = get.urls.iter().map(String::as_str).collect();
        let files = get.outputs.of(&urls).map_err(|e| format!("{e:?}"))?;
        Ok(files.into_iter().map(|file| file.map(|file| file.display().to_string())).collect())
    }

    fn some(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn the_nth_output_is_for_the_nth_url_wherever_it_stands() {
        let (u, v, w) = ("http://a/x.txt", "http://a/y%20z?q=/no", "http://a/");
        assert_eq!(outputs(&format!("{u} {v}")), Ok(vec![None, None]));
        assert_eq!(outputs(&format!("-o 1 {u} {v}")), Ok(vec![some("1"), None]));
        assert_eq!(outputs(&format!("-o 1 {u} -o 2 {v}")), Ok(vec![some("1"), some("2")]));
        assert_eq!(outputs(&format!("{u} {v} -O -o 2")), Ok(vec![some("x.txt"), some("2")]));
        assert_eq!(outputs(&format!("-o 1 -O {u} {v} {w}")), Ok(vec![some("1"), some("y%20z"), None]));
        assert_eq!(outputs(&format!("-OO {u} {v}")), Ok(vec![some("x.txt"), some("y%20z")]));
        let all = format!("--remote-name-all --output-dir /tmp -o - {w} {u} {v}");
        assert_eq!(outputs(&all), Ok(vec![None, some("/tmp/x.txt"), some("/tmp/y%20z")]));
        let nulls = format!("-o /dev/null -o /dev/null {u} {v}");
        assert_eq!(outputs(&nulls), Ok(vec![some("/dev/null"), some("/dev/null")]));
    }

    #[test]
    fn what_would_lose_a_body_is_refused_before_anything_is_fetched() {
        for (args, told) in [
            ("-o 1 -o 2 http://a/x", "2 -o or -O for 1 URLs"),
            ("-o 1 -o 1 http://a/x http://a/y", "would both go to 1"),
            ("-OO http://a/x http://b/x?2", "would both go to x"),
            ("-O http://a/", "no name"),
            ("-O http://a", "no name"),
            ("-o /no/where/x http://a/x", "no directory"),
            ("-o /tmp http://a/x", "directory"),
            ("--no-clobber -o /etc/passwd http://a/x", "exists"),
        ] {
            let error = outputs(args).unwrap_err();
            assert!(error.contains(told), "{args}: {error}");
        }
    }

    #[test]
    fn one_file_under_two_names_is_one_file() {
        let dir = std::env::temp_dir().join(format!("tcpglass-outputs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name);
        std::fs::write(at("there"), "x").unwrap();
        std::fs::hard_link(at("there"), at("hard")).unwrap();
        std::os::unix::fs::symlink("there", at("soft")).unwrap();
        std::os::unix::fs::symlink("new", at("dangling")).unwrap();
        let both = |a: &str, b: &str| {
            outputs(&format!("-o {} -o {} http://a/x http://a/y", at(a).display(), at(b).display()))
        };
        for (a, b) in [
            ("there", "hard"),
            ("soft", "there"),
            ("new", "./new"),
            ("new", "dangling"),
            ("there", "./there"),
        ] {
            assert!(both(a, b).unwrap_err().contains("would both go to"), "{a} {b}");
        }
        assert!(both("new", "there").is_ok() && both("new", "other").is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

//! Real files, changed in every way that comes to mind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;

/// A table of so many rules, the last of which says `to`.
fn table(rules: usize, to: &str) -> String {
    let rule = |n: usize| {
        let to = if n + 1 == rules { to } else { "native" };
        format!("r{n} = {{ http = [\"GET /r{n}\"], to = \"{to}\" }}\n")
    };
    (0..rules)
        .map(rule)
        .fold("[rule]\n".to_owned(), |table, rule| table + &rule)
}

/// A directory with a watched `routes.toml` of ten rules.
fn watched() -> (TempDir, PathBuf, Watch) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes.toml");
    let content = table(10, "node");
    fs::write(&path, &content).unwrap();
    let watch = watch(&path, content.into_bytes());
    (directory, path, watch)
}

fn replace(path: &Path, content: &str) {
    let other = path.with_file_name(".routes.toml.new");
    fs::write(&other, content).unwrap();
    fs::rename(&other, path).unwrap();
}

fn append(path: &Path, content: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// The next content, and how long it took to come.
async fn next(watch: &mut Watch) -> (Result<String, ErrorKind>, Duration) {
    let begin = Instant::now();
    let content = timeout(Duration::from_secs(5), watch.changed())
        .await
        .expect("a change is noticed");
    (
        content.map(|bytes| String::from_utf8(bytes).unwrap()),
        begin.elapsed(),
    )
}

/// The next content is this one, without the delay that the poll and possibly half-written contents have.
async fn comes_at_once(watch: &mut Watch, expected: &str) -> Duration {
    let (content, time) = next(watch).await;
    assert_eq!(content.as_deref(), Ok(expected));
    assert!(time < QUIET * 4 / 5, "{time:?}");
    time
}

/// The next content is this one, within the 2 s of HARDENING.
async fn comes(watch: &mut Watch, expected: &str) {
    let (content, time) = next(watch).await;
    assert_eq!(content.as_deref(), Ok(expected));
    assert!(time < Duration::from_millis(1900), "{time:?}");
}

/// Also lets the watch look once, so that it knows where the path leads.
async fn nothing_comes(watch: &mut Watch, time: Duration) {
    let nothing = timeout(time, watch.changed()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

const A_MOMENT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn flips_are_seen_within_milliseconds() {
    let (_directory, path, mut watch) = watched();
    let mut times = Vec::new();
    for n in 0..100 {
        let content = table(10, &format!("native {n}%"));
        if n % 2 == 0 {
            fs::write(&path, &content).unwrap()
        } else {
            replace(&path, &content)
        }
        times.push(comes_at_once(&mut watch, &content).await);
    }
    times.sort();
    assert!(times[50] < Duration::from_millis(50), "{times:?}");
}

#[tokio::test]
async fn an_edit_before_the_first_look_is_seen() {
    let (_directory, path, mut watch) = watched();
    let content = table(10, "native");
    fs::write(&path, &content).unwrap();
    comes(&mut watch, &content).await;
    nothing_comes(&mut watch, 2 * POLL).await;
}

#[tokio::test]
async fn the_big_red_switch_is_never_delayed() {
    let (_directory, path, mut watch) = watched();
    let content = format!("force = \"node\"\n{}", table(10, "node"));
    fs::write(&path, &content).unwrap();
    comes_at_once(&mut watch, &content).await;
}

#[tokio::test]
async fn a_file_that_is_away_for_a_moment_is_not_missed() {
    let (_directory, path, mut watch) = watched();
    nothing_comes(&mut watch, A_MOMENT).await;
    let content = table(10, "node");
    for _ in 0..3 {
        fs::remove_file(&path).unwrap();
        nothing_comes(&mut watch, A_MOMENT).await;
        fs::write(&path, "").unwrap();
        nothing_comes(&mut watch, A_MOMENT).await;
        fs::write(&path, &content).unwrap();
        nothing_comes(&mut watch, A_MOMENT).await;
    }
    fs::write(&path, table(10, "native")).unwrap();
    comes_at_once(&mut watch, &table(10, "native")).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_and_its_return_too() {
    let (_directory, path, mut watch) = watched();
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut watch).await.0, Err(ErrorKind::NotFound));
    fs::create_dir(&path).unwrap();
    assert_eq!(next(&mut watch).await.0, Err(ErrorKind::IsADirectory));
    fs::remove_dir(&path).unwrap();
    fs::write(&path, table(10, "native")).unwrap();
    comes(&mut watch, &table(10, "native")).await;
    fs::write(&path, "").unwrap();
    assert_eq!(next(&mut watch).await.0.as_deref(), Ok(""));
    fs::write(&path, table(10, "node")).unwrap();
    comes_at_once(&mut watch, &table(10, "node")).await;
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_told() {
    let (_directory, path, mut watch) = watched();
    nothing_comes(&mut watch, A_MOMENT).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    if fs::read(&path).is_err() {
        assert_eq!(next(&mut watch).await.0, Err(ErrorKind::PermissionDenied));
    } else {
        nothing_comes(&mut watch, 2 * SETTLE).await;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, table(10, "native")).unwrap();
    comes_at_once(&mut watch, &table(10, "native")).await;
}

#[tokio::test]
async fn what_is_too_large_or_no_file_is_told() {
    let (_directory, path, mut watch) = watched();
    fs::write(&path, "#".repeat(10_000_000)).unwrap();
    assert_eq!(next(&mut watch).await.0, Err(ErrorKind::FileTooLarge));
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(next(&mut watch).await.0, Err(ErrorKind::Unsupported));
}

#[tokio::test]
async fn links_are_followed_wherever_they_lead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("etc/routes.toml");
    for name in ["etc", "one", "two"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let [one, two] = ["one/a.toml", "two/b.toml"].map(|name| directory.path().join(name));
    fs::write(&one, table(10, "node")).unwrap();
    fs::write(&two, table(5, "native")).unwrap();
    symlink(&one, &path).unwrap();
    let mut watch = watch(&path, table(10, "node").into_bytes());
    nothing_comes(&mut watch, A_MOMENT).await;
    // Edits of the target, in another directory than the link.
    fs::write(&one, table(10, "native")).unwrap();
    comes_at_once(&mut watch, &table(10, "native")).await;
    replace(&one, &table(20, "native"));
    comes_at_once(&mut watch, &table(20, "native")).await;
    // Another target, for which the link is made anew.
    fs::remove_file(&path).unwrap();
    symlink(&two, &path).unwrap();
    comes_at_once(&mut watch, &table(5, "native")).await;
    fs::write(&two, table(5, "node")).unwrap();
    comes_at_once(&mut watch, &table(5, "node")).await;
    // The first one is of no interest any more.
    fs::write(&one, table(7, "native")).unwrap();
    nothing_comes(&mut watch, 2 * POLL).await;
}

#[tokio::test]
async fn config_maps_are_swapped_as_kubernetes_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes.toml");
    let data = directory.path().join("..data");
    let version = |n: usize| directory.path().join(format!("..2025_{n}"));
    let swap = |n: usize| {
        fs::create_dir(version(n)).unwrap();
        fs::write(version(n).join("routes.toml"), table(n + 1, "node")).unwrap();
        let link = directory.path().join("..data_tmp");
        symlink(version(n), &link).unwrap();
        fs::rename(&link, &data).unwrap();
        if n > 0 {
            fs::remove_dir_all(version(n - 1)).unwrap();
        }
    };
    swap(0);
    symlink("..data/routes.toml", &path).unwrap();
    let mut watch = watch(&path, table(1, "node").into_bytes());
    nothing_comes(&mut watch, A_MOMENT).await;
    for n in 1..=50 {
        swap(n);
        comes_at_once(&mut watch, &table(n + 1, "node")).await;
    }
    // Without waiting for each.
    (51..=100).for_each(swap);
    while next(&mut watch).await.0 != Ok(table(101, "node")) {}
}

#[tokio::test]
async fn edits_under_another_name_are_seen() {
    let (directory, path, mut watch) = watched();
    // What a bind mount is too: one inode, seen from another directory.
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let other = elsewhere.join("link.toml");
    fs::hard_link(&path, &other).unwrap();
    nothing_comes(&mut watch, A_MOMENT).await;
    for to in ["native", "node"] {
        fs::write(&other, table(10, to)).unwrap();
        comes_at_once(&mut watch, &table(10, to)).await;
    }
    // After the name got another file, the old one does not count.
    replace(&path, &table(11, "node"));
    comes_at_once(&mut watch, &table(11, "node")).await;
    fs::write(&other, table(12, "node")).unwrap();
    nothing_comes(&mut watch, 2 * POLL).await;
}

#[tokio::test]
async fn the_directory_may_be_replaced() {
    let outer = tempfile::tempdir().unwrap();
    let [directory, old, new] = ["etc", "old", "new"].map(|name| outer.path().join(name));
    let path = directory.join("routes.toml");
    fs::create_dir(&directory).unwrap();
    fs::write(&path, table(10, "node")).unwrap();
    let mut watch = watch(&path, table(10, "node").into_bytes());
    nothing_comes(&mut watch, A_MOMENT).await;
    fs::create_dir(&new).unwrap();
    fs::write(new.join("routes.toml"), table(10, "native")).unwrap();
    fs::rename(&directory, &old).unwrap();
    fs::rename(&new, &directory).unwrap();
    comes(&mut watch, &table(10, "native")).await;
    // By now the new directory is watched.
    fs::write(&path, table(10, "native 1%")).unwrap();
    comes_at_once(&mut watch, &table(10, "native 1%")).await;
}

#[tokio::test]
async fn the_directory_may_be_removed_and_made_again() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("etc");
    let path = directory.join("routes.toml");
    fs::create_dir(&directory).unwrap();
    fs::write(&path, table(10, "node")).unwrap();
    let mut watch = watch(&path, table(10, "node").into_bytes());
    nothing_comes(&mut watch, A_MOMENT).await;
    for n in 1..4 {
        // The new one may well get the number of the old one's inode.
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(&path, table(10, &format!("native {n}%"))).unwrap();
        comes(&mut watch, &table(10, &format!("native {n}%"))).await;
        // It may have been found before the end of the old directory was told.
        nothing_comes(&mut watch, POLL).await;
        replace(&path, &table(10, "node"));
        comes_at_once(&mut watch, &table(10, "node")).await;
        fs::write(&path, table(10, "native")).unwrap();
        comes_at_once(&mut watch, &table(10, "native")).await;
    }
}

#[tokio::test]
async fn a_writer_that_keeps_the_file_open_is_waited_for() {
    let (_directory, path, mut watch) = watched();
    nothing_comes(&mut watch, A_MOMENT).await;
    let content = table(30, "native");
    let (first, second) = content.split_at(table(10, "native").len());
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    nothing_comes(&mut watch, POLL).await;
    file.write_all(second.as_bytes()).unwrap();
    nothing_comes(&mut watch, A_MOMENT).await;
    drop(file);
    comes(&mut watch, &content).await;
}

#[tokio::test]
async fn a_writer_that_never_closes_the_file_is_believed_after_a_while() {
    let (_directory, path, mut watch) = watched();
    nothing_comes(&mut watch, A_MOMENT).await;
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(table(30, "native").as_bytes()).unwrap();
    comes(&mut watch, &table(30, "native")).await;
    drop(file);
}

#[tokio::test]
async fn two_halves_by_two_writers_are_never_half_a_table() {
    let (_directory, path, mut watch) = watched();
    nothing_comes(&mut watch, A_MOMENT).await;
    for (rules, to) in [(30, "native"), (12, "node"), (31, "native"), (5, "node")] {
        let content = table(rules, to);
        let lines: Vec<&str> = content.split_inclusive('\n').collect();
        let (first, second) = lines.split_at(rules / 2);
        fs::write(&path, first.concat()).unwrap();
        sleep(Duration::from_millis(500)).await;
        append(&path, &second.concat());
        comes(&mut watch, &content).await;
    }
}

#[tokio::test]
async fn a_thousand_edits_a_minute_end_in_the_last() {
    let (_directory, path, mut watch) = watched();
    let mut seen: Vec<Vec<u8>> = vec![table(10, "node").into_bytes()];
    for n in 0..150 {
        let content = table(10 + n % 3, &format!("native {n}%"));
        if n % 5 == 0 {
            replace(&path, &content)
        } else {
            fs::write(&path, &content).unwrap()
        }
        if let Ok(content) = timeout(Duration::from_millis(20), watch.changed()).await {
            seen.push(content.unwrap());
        }
    }
    let last = table(10 + 149 % 3, "native 149%").into_bytes();
    while seen.last() != Some(&last) {
        seen.push(
            timeout(Duration::from_secs(2), watch.changed())
                .await
                .expect("the last content wins")
                .unwrap(),
        );
    }
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
    nothing_comes(&mut watch, 2 * POLL).await;
}

#[tokio::test]
async fn what_does_not_stand_is_not_worth_a_report() {
    let (_directory, path, mut watch) = watched();
    let broken = table(10, "node").replace("[rule]", "[rule");
    fs::write(&path, &broken).unwrap();
    comes_at_once(&mut watch, &broken).await;
    let mend = async {
        sleep(SETTLE / 2).await;
        fs::write(&path, table(10, "native")).unwrap();
    };
    let (stands, ()) = tokio::join!(watch.stands(SETTLE), mend);
    assert!(!stands);
    comes_at_once(&mut watch, &table(10, "native")).await;
    fs::write(&path, &broken).unwrap();
    comes_at_once(&mut watch, &broken).await;
    assert!(watch.stands(SETTLE).await);
}

#[tokio::test]
async fn futures_may_be_dropped() {
    let (_directory, path, mut watch) = watched();
    for n in 0..20 {
        let content = table(10, &format!("native {n}%"));
        fs::write(&path, &content).unwrap();
        let mut found = None;
        let end = Instant::now() + Duration::from_secs(2);
        while found.is_none() && Instant::now() < end {
            found = timeout(Duration::from_micros(50), watch.changed())
                .await
                .ok();
        }
        assert_eq!(found, Some(Ok(content.into_bytes())));
    }
}

#[tokio::test]
async fn the_poll_alone_finds_what_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes.toml");
    fs::write(&path, table(10, "node")).unwrap();
    let notices = Arc::new(Notices::default());
    let file = WatchedFile::unwatched(&path, &notices);
    let mut watch = Watch::new(notices, file, table(10, "node").into_bytes());
    nothing_comes(&mut watch, A_MOMENT).await;
    let content = table(20, "native");
    fs::write(&path, &content[..table(15, "native").len()]).unwrap();
    nothing_comes(&mut watch, QUIET - A_MOMENT).await;
    append(&path, &content[table(15, "native").len()..]);
    comes(&mut watch, &content).await;
}

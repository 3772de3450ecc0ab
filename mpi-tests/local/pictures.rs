//! The pictures of the documents, as files. What draws them has tests of its own: `scripts/pictures --test`.

use std::fs;
use std::path::PathBuf;

use roxmltree::{Document, Node};

/// A reader waits for a picture.
const BYTES_MAX: usize = 200_000;

/// Every picture in docs/pictures, by name.
fn pictures() -> Vec<(String, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures"));
    let mut pictures: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    pictures.sort();
    pictures
}

/// The text of the element with this ID.
fn text_of(document: &Document, id: &str) -> String {
    let node = document.descendants().find(|node| node.attribute("id") == Some(id));
    node.and_then(|node| node.text()).unwrap_or_default().to_owned()
}

/// Promise: a picture is there for light and for dark pages, small, without scripts and without anything that it would
/// load, and says in words what it shows.
#[test]
fn pictures_are_small_self_contained_and_described() {
    let pictures = pictures();
    let names: Vec<&str> = pictures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["run-dark.svg", "run.svg", "timeline-dark.svg", "timeline.svg"]);
    for (name, text) in &pictures {
        assert!(text.len() <= BYTES_MAX, "{name} has {} bytes", text.len());
        let document = Document::parse(text).unwrap_or_else(|error| panic!("{name} is not XML: {error}"));
        let root = document.root_element();
        assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"), "{name}");
        assert_eq!((root.tag_name().name(), root.attribute("role")), ("svg", Some("img")), "{name}");
        assert_eq!(root.attribute("aria-labelledby"), Some("title description"), "{name}");
        assert!(!text_of(&document, "title").is_empty() && !text_of(&document, "description").is_empty(), "{name}");
        let elements: Vec<Node> = document.descendants().filter(Node::is_element).collect();
        for element in &elements {
            let tag = element.tag_name().name();
            let known = ["svg", "title", "desc", "style", "g", "rect", "text", "path"];
            assert!(known.contains(&tag), "{name} has an element {tag}");
            for attribute in element.attributes() {
                let attribute = attribute.name();
                assert!(!attribute.starts_with("on") && !attribute.ends_with("href"), "{name}: {tag} {attribute}");
            }
        }
        assert!(!text.contains("url(") && !text.contains("@import"), "{name} loads something");
    }
}

/// Promise: a picture shows no path, host or user of the machine on which it was drawn, and the program as it is typed.
#[test]
fn pictures_show_nothing_of_the_machine_that_drew_them() {
    for (name, text) in pictures() {
        let document = Document::parse(&text).unwrap();
        let texts: Vec<&str> =
            document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect();
        assert!(texts.len() > 20, "{name}: {texts:#?}");
        for text in &texts {
            for trace in ["/tmp", "/work", "/root", "target/", "./taskfarmer-mpi", "bin/taskfarmer-mpi"] {
                assert!(!text.contains(trace), "{name}: {text}");
            }
        }
        let wanted: &[&str] = match name.split(['-', '.']).next() {
            Some("run") => &["$ taskfarmer-mpi tasks.txt", "40 tasks", "37 finished, 3 failed, 0 remaining"],
            _ => &["rank 0 on nid0001", "slot 0", "finished", "failed", "interrupted", "0 s"],
        };
        for wanted in wanted {
            assert!(texts.iter().any(|text| text.contains(wanted)), "{name} does not show {wanted}");
        }
    }
}

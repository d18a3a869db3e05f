//! OME-XML: the metadata of OME-TIFF (schema 2016-06, and older ones as far as they agree with it).

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::{
    description::{Description, positive},
    problem::Problem,
};
use crate::volume::micrometres_in;

/// Reads axes, voxel size and the order of the planes of a file of so many pages.
pub(super) fn read(text: &str, pages: usize) -> Result<Description, Problem> {
    let document = Document::parse(text).map_err(|e| Problem::Corrupt(format!("its OME-XML: {e}")))?;
    let root = document.root_element();
    let images: Vec<Node<'_, '_>> =
        root.children().filter(|node| node.tag_name().name() == "Image").collect();
    let [image] = images[..] else {
        return Err(match images.len() {
            0 => Problem::NotAVolume(
                "OME metadata without an image, as in one part of a set of files".into(),
                "export the set as one OME-TIFF",
            ),
            count => Problem::NotAVolume(format!("{count} images"), "save each of them as a file of its own"),
        });
    };
    let pixels = image
        .children()
        .find(|node| node.tag_name().name() == "Pixels")
        .ok_or_else(|| Problem::Corrupt("its OME-XML has no Pixels".into()))?;
    let size = |name: &str| {
        pixels
            .attribute(name)
            .and_then(|text| text.trim().parse::<u64>().ok())
            .filter(|&size| size > 0)
            .ok_or_else(|| Problem::Corrupt(format!("its OME-XML gives no {name}")))
    };
    let (z, c, t) = (size("SizeZ")?, size("SizeC")?, size("SizeT")?);
    check_is_whole(root, pixels)?;
    // Other lengths are refused by who compares them with the pages; no table is made for them.
    let order = if c == 1 && t == 1 && z == pages as u64 { plane_order(pixels, z)? } else { None };
    Ok(Description {
        leading: vec![("t".into(), t), ("c".into(), c), ("z".into(), z)],
        three_axes: false,
        one_directory: false,
        order,
        spacing: ["Z", "Y", "X"].map(|axis| {
            let value = positive(pixels.attribute(&*format!("PhysicalSize{axis}"))?.trim().parse().ok()?)?;
            let unit = pixels.attribute(&*format!("PhysicalSize{axis}Unit"));
            // The schema's own default is the micrometre.
            unit.map_or(Some(1.0), micrometres_in).map(|unit| value * unit)
        }),
    })
}

/// The elements that say which pages belong to which planes.
fn parts<'a>(pixels: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    pixels.children().filter(|node| node.tag_name().name() == "TiffData")
}

/// Refuses a file of which some planes lie in other files.
fn check_is_whole(root: Node<'_, '_>, pixels: Node<'_, '_>) -> Result<(), Problem> {
    let own_id = root.attribute("UUID");
    let elsewhere = |part: Node<'_, '_>| {
        let uuid = part.children().find(|node| node.tag_name().name() == "UUID").and_then(|node| node.text());
        uuid.zip(own_id).is_some_and(|(uuid, own)| uuid.trim() != own.trim())
    };
    if parts(pixels).any(elsewhere) {
        return Err(Problem::NotAVolume(
            "one part of an OME-TIFF that spans several files".into(),
            "export the set as one OME-TIFF",
        ));
    }
    Ok(())
}

/// The page of each of the `planes`, from the TiffData elements; `None` where they are in order.
fn plane_order(pixels: Node<'_, '_>, planes: u64) -> Result<Option<Vec<u64>>, Problem> {
    if parts(pixels).all(|part| part.attribute("IFD").is_none()) {
        return Ok(None);
    }
    let number = |part: Node<'_, '_>, name, default| {
        part.attribute(name).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(default)
    };
    let mut order = BTreeMap::new();
    for part in parts(pixels) {
        let (first_page, first_plane) = (number(part, "IFD", 0), number(part, "FirstZ", 0));
        for k in 0..number(part, "PlaneCount", 1).min(planes.saturating_sub(first_plane)) {
            order.insert(first_plane + k, first_page.saturating_add(k));
        }
    }
    if !order.keys().copied().eq(0..planes) {
        return Err(Problem::Corrupt(format!("its OME-XML places {} of {planes} planes", order.len())));
    }
    Ok(Some(order.into_values().collect()))
}

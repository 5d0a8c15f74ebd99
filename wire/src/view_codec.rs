//! Bodies of the frames about a view: bytes of [`Viewing`] and [`Clusters`].
//!
//! Cells ascend, so each is told as the distance from the one before: in a crowd one byte.

use bytes::BufMut;

use crate::bytes_in;
use crate::error::{WireError, malformed};
use crate::ids::{Cell, ChatHandle};
use crate::limits::{CLUSTERS_MAX, VIEW_CELLS_MAX};
use crate::map_cell::MapCell;
use crate::map_view_codec;
use crate::update::{Cluster, Clusters, Viewing};
use crate::varint;

pub(crate) fn put_viewing(out: &mut Vec<u8>, viewing: &Viewing) {
    let count = viewing.cells.len();
    assert!(count <= VIEW_CELLS_MAX, "{count} cells in a view");
    varint::put(out, u64::from(viewing.chat.0));
    varint::put(out, viewing.cell.0);
    map_view_codec::put(out, &viewing.area);
    varint::put(out, count as u64);
    let mut before = 0;
    for cell in &viewing.cells {
        put_cell(out, &mut before, *cell);
    }
}

pub(crate) fn read_viewing(input: &mut &[u8]) -> Result<Viewing, WireError> {
    let chat = ChatHandle(bytes_in::varint_u32(input)?);
    let cell = Cell(varint::get(input)?);
    let area = map_view_codec::read(input)?;
    let count = read_count(input, VIEW_CELLS_MAX)?;
    let mut before = 0;
    let cells = (0..count).map(|_| read_cell(input, &mut before));
    Ok(Viewing {
        chat,
        cell,
        area,
        cells: cells.collect::<Result<_, _>>()?,
    })
}

pub(crate) fn put_clusters(out: &mut Vec<u8>, clusters: &Clusters) {
    let count = clusters.clusters.len();
    assert!(count <= CLUSTERS_MAX, "{count} clusters in a frame");
    varint::put(out, u64::from(clusters.chat.0));
    varint::put(out, clusters.cell.0);
    varint::put(out, u64::from(clusters.epoch));
    varint::put(out, clusters.to);
    varint::put(out, count as u64);
    let mut before = 0;
    for cluster in &clusters.clusters {
        put_cell(out, &mut before, cluster.cell);
        varint::put(out, u64::from(cluster.count));
        out.put_slice(&[cluster.east, cluster.north]);
    }
}

pub(crate) fn read_clusters(input: &mut &[u8]) -> Result<Clusters, WireError> {
    let chat = ChatHandle(bytes_in::varint_u32(input)?);
    let cell = Cell(varint::get(input)?);
    let epoch = bytes_in::varint_u32(input)?;
    let to = varint::get(input)?;
    let count = read_count(input, CLUSTERS_MAX)?;
    let mut before = 0;
    let clusters = (0..count).map(|_| read_cluster(input, &mut before));
    Ok(Clusters {
        chat,
        cell,
        epoch,
        to,
        clusters: clusters.collect::<Result<_, _>>()?,
    })
}

fn read_cluster(input: &mut &[u8], before: &mut u64) -> Result<Cluster, WireError> {
    let cell = read_cell(input, before)?;
    let count = bytes_in::varint_u32(input)?;
    if count == 0 {
        return Err(malformed("a cluster is empty"));
    }
    Ok(Cluster {
        cell,
        count,
        east: bytes_in::u8(input)?,
        north: bytes_in::u8(input)?,
    })
}

fn put_cell(out: &mut Vec<u8>, before: &mut u64, cell: MapCell) {
    let number = cell.number();
    assert!(number > *before, "cells ascend");
    varint::put(out, number - *before);
    *before = number;
}

fn read_cell(input: &mut &[u8], before: &mut u64) -> Result<MapCell, WireError> {
    let step = varint::get(input)?;
    if step == 0 {
        return Err(malformed("a cell of the map is told twice"));
    }
    // Both are below 2^62.
    *before = (*before + step).min(varint::MAX);
    MapCell::from_number(*before).ok_or(malformed("a cell of the map is none"))
}

fn read_count(input: &mut &[u8], count_max: usize) -> Result<usize, WireError> {
    let count = varint::get(input)?;
    if count > count_max as u64 || count > input.len() as u64 {
        return Err(malformed("a list of cells is cut off or too long"));
    }
    Ok(count as usize)
}

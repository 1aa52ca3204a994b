// Which row of the opcode tables an instruction is, by its opcode and the prefixes before it.

import { byte, peek, short } from './decode-bytes';
import { lock, operand16, readVex, repeat, rex } from './decode-prefixes';
import { FIRST_SSE, Mnemonic as M } from './mnemonics';
import { GROUP, Rows, Table } from './rows';

/** The table, opcode and digit (8: none) that the row decoded last stands at, as three bytes from the top. */
export function decodedPlace(): u32 {
  return (table << 16) | (opcode << 8) | digit;
}
let table: u32 = 0;
let digit: u32 = 8;
export let opcode: u32 = 0;

function rowIn(map: u32, opcode: u32): u32 {
  table = map;
  return Rows.at(map, opcode);
}

/** The row of an opcode in a map whose rows depend on the mandatory prefix. */
function prefixed(map: u32, opcode: u32): u32 {
  if (repeat || operand16) {
    const row = rowIn(map + (repeat == 0xf3 ? 2 : repeat == 0xf2 ? 3 : 1), opcode);
    if (row) return row;
  }
  const row = rowIn(map, opcode);
  const mandatory = operand16 || repeat != 0;
  // integer instructions take 66 as operand size and ignore the others; SSE ones need exactly their prefix
  if (!mandatory || row & GROUP || (row & 0x3ff) < FIRST_SSE) return row;
  return 0;
}

/** The row of the opcode after the prefixes, from its table; 0 for a gap, or where bytes are short. */
function tableRow(): u32 {
  const first = byte();
  opcode = first;
  digit = 8;
  if (first == 0x0f) {
    opcode = byte();
    if (opcode == 0x38) {
      opcode = byte();
      return prefixed(Table.T38, opcode);
    }
    if (opcode == 0x3a) {
      opcode = byte();
      return prefixed(Table.T3A, opcode);
    }
    if (opcode == 0x01 && peek() >= 0xc0) {
      opcode = byte();
      const row = rowIn(Table.System, opcode);
      // with a prefix clac and stac are something else, the others what they are without
      return (operand16 || repeat) && opcode < 0xf0 ? M.Outside : row;
    }
    return prefixed(Table.Two, opcode);
  }
  if (first == 0xc4 || first == 0xc5) return vexRow(first);
  if (first == 0x62) return M.Outside;
  if (first == 0x8f && ((peek() >> 3) & 7) != 0) return M.Outside; // XOP
  return rowIn(Table.One, first);
}
function vexRow(first: u32): u32 {
  if (first == 0xc5) return M.Outside; // no general-purpose instruction is in its only map
  const p1 = byte();
  const p2 = byte();
  const pp = p2 & 3;
  const map = p1 & 31;
  let row: u32 = M.Outside;
  if (map == 2 || (map == 3 && pp == 3)) {
    opcode = byte();
    // pp counts none, 66, f3, f2 as the tables do
    row = rowIn(map == 2 ? Table.Vex38 + pp : Table.Vex3A_F2, opcode);
  }
  if (!row || row == M.Outside || p2 & 4) return M.Outside; // L=1 is vector code or invalid
  if (rex || operand16 || repeat || lock) return 0;
  readVex(p1, p2);
  return row;
}

/** The row of the opcode after the prefixes, in a group that of its digit; 0 for a gap, or where bytes are short. */
export function opcodeRow(): u32 {
  const row = tableRow();
  if (short || !(row & GROUP)) return row;
  digit = (peek() >> 3) & 7;
  return Rows.ofGroup(row, digit);
}

/** The condition of the instruction decoded last, where it has one. */
export function decodedCondition(): u32 {
  return opcode & 15;
}

// The numbers of the ELF64 format and of its x86-64 supplement that the reader needs (System V ABI, AMD64 psABI).

/** e_type: what kind of file. */
export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
/** e_machine of AMD64. */
export const EM_X86_64 = 62;

/** Sizes of the fixed structures, in bytes. */
export const EHDR_SIZE = 64;
export const SHDR_SIZE = 64;
export const PHDR_SIZE = 56;
export const SYM_SIZE = 24;
export const RELA_SIZE = 24;

/** sh_type. */
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHT_DYNSYM = 11;
export const SHT_RELR = 19;

/** sh_flags. */
export const SHF_WRITE = 0x1n;
export const SHF_ALLOC = 0x2n;
export const SHF_EXECINSTR = 0x4n;
/** Linux: relocations that the livepatch code applies, not the module loader (L25). */
export const SHF_RELA_LIVEPATCH = 0x0010_0000n;

/** Section indexes with a meaning of their own. */
export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
/** Linux: the symbol is resolved by the livepatch code (L25). */
export const SHN_LIVEPATCH = 0xff20;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;
export const SHN_XINDEX = 0xffff;

/** p_type and p_flags. */
export const PT_LOAD = 1;
export const PF_X = 1;
export const PF_W = 2;

/** Symbol types by number; a number without a name is `other`. */
export const SYMBOL_KINDS = ['notype', 'object', 'func', 'section', 'file', 'common', 'tls'] as const;
/** STT_GNU_IFUNC: the value is the address of a resolver. */
export const STT_GNU_IFUNC = 10;

/** Relocation types by name; the ones that the loader applies. */
export const R = {
  NONE: 0,
  R64: 1,
  PC32: 2,
  PLT32: 4,
  GLOB_DAT: 6,
  JUMP_SLOT: 7,
  RELATIVE: 8,
  GOTPCREL: 9,
  R32: 10,
  R32S: 11,
  PC64: 24,
  GOTPCRELX: 41,
  REX_GOTPCRELX: 42,
} as const;

/** Names of all relocation types of the psABI, by number, for messages. */
const RELOCATION_NAMES: readonly (string | undefined)[] = [
  /* 0*/ 'NONE',
  /* 1*/ '64',
  /* 2*/ 'PC32',
  /* 3*/ 'GOT32',
  /* 4*/ 'PLT32',
  /* 5*/ 'COPY',
  /* 6*/ 'GLOB_DAT',
  /* 7*/ 'JUMP_SLOT',
  /* 8*/ 'RELATIVE',
  /* 9*/ 'GOTPCREL',
  /*10*/ '32',
  /*11*/ '32S',
  /*12*/ '16',
  /*13*/ 'PC16',
  /*14*/ '8',
  /*15*/ 'PC8',
  /*16*/ 'DTPMOD64',
  /*17*/ 'DTPOFF64',
  /*18*/ 'TPOFF64',
  /*19*/ 'TLSGD',
  /*20*/ 'TLSLD',
  /*21*/ 'DTPOFF32',
  /*22*/ 'GOTTPOFF',
  /*23*/ 'TPOFF32',
  /*24*/ 'PC64',
  /*25*/ 'GOTOFF64',
  /*26*/ 'GOTPC32',
  /*27*/ 'GOT64',
  /*28*/ 'GOTPCREL64',
  /*29*/ 'GOTPC64',
  /*30*/ undefined, // GOTPLT64: withdrawn
  /*31*/ 'PLTOFF64',
  /*32*/ 'SIZE32',
  /*33*/ 'SIZE64',
  /*34*/ 'GOTPC32_TLSDESC',
  /*35*/ 'TLSDESC_CALL',
  /*36*/ 'TLSDESC',
  /*37*/ 'IRELATIVE',
  /*38*/ 'RELATIVE64',
  /*39*/ undefined, // PC32_BND: withdrawn
  /*40*/ undefined, // PLT32_BND: withdrawn
  /*41*/ 'GOTPCRELX',
  /*42*/ 'REX_GOTPCRELX',
];

/** `R_X86_64_PLT32`, or the number where the type has no name. */
export function relocationName(type: number): string {
  return `R_X86_64_${RELOCATION_NAMES[type] ?? type}`;
}

// Decodes x86_64 machine code; the only importer of iced-x86.
export {};

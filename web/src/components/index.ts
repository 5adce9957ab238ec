export * from "./basics";
export * from "./chart";
export * from "./code";
export * from "./icons";
export * from "./overlays";
export * from "./table";
export * from "./exchange";

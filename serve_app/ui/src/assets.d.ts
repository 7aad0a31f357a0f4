declare module "*.woff2";
declare module "*.css";

import{j as t}from"./react-B3RtMoXF.js";import{P as e,E as i}from"./index-CkDH5H-j.js";function n(){return t.jsx(e,{title:"Config",children:t.jsx(i,{title:"Nothing here yet"})})}export{n as default};
